//! Messages that a signer is asked to sign, by protocol.

use super::line::Line;
use super::names::Names;
use interlock_core::cometbft::{self, CometbftIntent, Step, Timestamp};
use interlock_core::ethereum::EthereumIntent;
use interlock_core::generic::GenericIntent;
use interlock_core::tezos::{self, Kind, TezosIntent};
use interlock_core::{Digest, Intent, NodeName, Position};

pub(crate) fn message(line: &mut Line, names: &mut Names) -> Intent {
    match line.word("a message").as_str() {
        "ethereum" => Intent::Ethereum(ethereum(line, names)),
        "tezos" => Intent::Tezos(tezos(line, names)),
        "generic" => Intent::Generic(generic(line, names)),
        step => Intent::Cometbft(cometbft(step, line, names)),
    }
}

pub(crate) fn step_called(name: &str) -> Step {
    match name {
        "proposal" => Step::Proposal,
        "prevote" => Step::Prevote,
        "precommit" => Step::Precommit,
        other => panic!("no step is called {other}"),
    }
}

/// Stands for the digest of the sign bytes: of a vote without its timestamp, of a proposal with it.
pub(crate) fn cometbft_payload(
    names: &mut Names,
    at: cometbft::Position,
    block: &str,
    seconds: i64,
) -> Digest {
    let content = match at.step {
        Step::Proposal => format!("proposal {block} time {seconds}"),
        step => format!("{step} {block}"),
    };
    names.payload(Position::Cometbft(at), &content)
}

fn cometbft(step: &str, line: &mut Line, names: &mut Names) -> CometbftIntent {
    let position = cometbft::Position {
        height: line.number("height"),
        round: line.small("round"),
        step: step_called(step),
    };
    let block = line.text("block");
    let seconds = line.number_or("time", 10).try_into().unwrap();
    let node = line.option("node").unwrap_or_else(|| "n1".into());
    CometbftIntent {
        position,
        block: names.block(&block),
        payload: cometbft_payload(names, position, &block, seconds),
        timestamp: Timestamp { seconds, nanos: 0 },
        node: NodeName::parse(&node).unwrap(),
    }
}

fn ethereum(line: &mut Line, names: &mut Names) -> EthereumIntent {
    let kind = line.word("block or attestation");
    let content = format!("{kind} {}", line.text("root"));
    match kind.as_str() {
        "block" => {
            let slot = line.number("slot");
            let signing_root = names.payload(Position::EthereumBlock { slot }, &content);
            EthereumIntent::Block { slot, signing_root }
        }
        "attestation" => {
            let (source_epoch, target_epoch) = (line.number("source"), line.number("target"));
            let at = Position::EthereumAttestation { source_epoch, target_epoch };
            EthereumIntent::Attestation {
                source_epoch,
                target_epoch,
                signing_root: names.payload(at, &content),
            }
        }
        other => panic!("no Ethereum message is called {other}"),
    }
}

fn tezos(line: &mut Line, names: &mut Names) -> TezosIntent {
    let name = line.word("block, preattestation or attestation");
    let kind = match name.as_str() {
        "block" => Kind::Block,
        "preattestation" => Kind::Preattestation,
        "attestation" => Kind::Attestation,
        other => panic!("no Tezos message is called {other}"),
    };
    let position = tezos::Position { kind, level: line.small("level"), round: line.small("round") };
    let content = format!("{name} {}", line.text("payload"));
    TezosIntent { position, payload: names.payload(Position::Tezos(position), &content) }
}

fn generic(line: &mut Line, names: &mut Names) -> GenericIntent {
    let parts: [String; 3] = line.parts("at").expect("a generic message takes at=");
    let position = parts.map(|part| line.parsed("at", &part));
    let payload = names.payload(Position::Generic(position), &line.text("payload"));
    GenericIntent { position, payload }
}
