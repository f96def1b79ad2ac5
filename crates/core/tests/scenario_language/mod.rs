//! The language of the scenario files: a command per line, options as `name=value`.
//!
//! `# ` prose. Then commands, a line `----`, and as many verdict lines as commands. Every file starts at genesis.
//!
//! ```text
//! add-key NAME [chain=C] [pubkey=P] [signers=alpha,beta] [floor=H] [max-jump=N] [lock-rule=on|off] [id-of=NAME]
//! acquire HOLDER epoch=E            release HOLDER epoch=E            handover HOLDER epoch=E
//! approve HOLDER epoch=E h=H r=R proposal|prevote|precommit block=NAME|nil ts=T node=N
//! freeze version=V reason=WORD      unfreeze version=V reason=WORD    show
//! ```
//! HOLDER is `signer#incarnation`. Everywhere: `key=NAME` (default `val`), `cluster=NAME` (default `home`). A line may
//! begin with `probe`: in the files named `precedence-*`, probes descend through the rules in order.

mod line;
mod names;
mod world;

pub(crate) use world::World;
