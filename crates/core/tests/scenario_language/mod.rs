//! The language of the scenario files: a command per line, options as `name=value`.
//!
//! `# ` prose. Then commands, a line `----`, and as many verdict lines as commands. Every file starts at genesis.
//!
//! ```text
//! add-key NAME [chain=PROTOCOL:C] [pubkey=P] [signers=alpha,beta] [CLAIM] [POLICY] [id-of=NAME]
//! acquire HOLDER epoch=E            handover HOLDER epoch=E
//! release HOLDER epoch=E [give-back=window | give-back=record-of-NAME]
//! approve HOLDER epoch=E MESSAGE    reserve HOLDER epoch=E height=H up-to=H [answer=NAME]
//! freeze version=V reason=WORD      unfreeze version=V [reason=WORD]    retire version=V reason=WORD
//! import version=V CLAIM [claim-for=PROTOCOL] [confirm=yes]             lift-quarantine version=V attest=WORD
//! policy version=V POLICY           signers version=V signers=alpha,beta
//! raise-rules expected=N to=N [id-of=NAME]
//!
//! MESSAGE  height=H round=R proposal|prevote|precommit block=NAME|nil [time=T] [node=N]
//!          ethereum block slot=S root=NAME
//!          ethereum attestation source=E target=E root=NAME
//!          tezos block|preattestation|attestation level=L round=R payload=NAME
//!          generic at=A/B/C payload=NAME
//! CLAIM    cometbft: [floor=H] [signed=H/R/STEP [signed-content=NAME [signed-time=T]] [signed-block=NAME]]
//!          ethereum: [slot=S] [source=E target=E]
//!          tezos:    [floor=L] [block=L/R] [preattestation=L/R] [attestation=L/R]
//!          generic:  [floor=A] [newest=A/B/C]
//! POLICY   [max-jump=N] [lock-rule=on|off] [windows=N]
//! ```
//! HOLDER is `signer#incarnation`. Everywhere: `key=NAME` (default `val`), `cluster=NAME` (default: the one that is
//! there, at first `home`). A line may begin with `probe`: in the files named `precedence-*`, probes descend through
//! the rules in order. Besides commands to the cluster there are
//!
//! ```text
//! show                                  the record of a key
//! window HOLDER takes [answer=NAME]     the process hears the newest answer to its `reserve`, or the one so named
//! window HOLDER signs MESSAGE           it judges a message in its memory
//! window HOLDER closes epoch=E          it drops its window for good; `give-back=window` sends what it had approved
//! batch, commands, end                  one log entry; the verdicts say at which item of it they were given
//! backup NAME                           keeps a copy of the state
//! restore cluster=NAME [from=NAME] reason=WORD    goes on as another cluster, from a copy or from what is there
//! ```
//! A process that crashes needs no word: the next one has another number, and remembers nothing.

mod checks;
mod claims;
mod commands;
mod describe;
mod line;
mod messages;
mod names;
mod processes;
mod refusals;
mod signatures;
mod world;

pub(crate) use refusals::one_of_each as one_refusal_of_each_kind;
pub(crate) use world::World;
