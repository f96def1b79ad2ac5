//! Claims of what a key may have signed elsewhere, by protocol.

use super::line::Line;
use super::messages::{cometbft_payload, step_called};
use super::names::Names;
use interlock_core::cometbft::{ClaimedMessage, CometbftClaim, Content, Position, Timestamp};
use interlock_core::ethereum::{ClaimedEpochs, EthereumClaim};
use interlock_core::generic::GenericClaim;
use interlock_core::tezos::{LevelRound, TezosClaim};
use interlock_core::{Claim, Protocol};

pub(crate) fn claim(protocol: Protocol, line: &mut Line, names: &mut Names) -> Claim {
    match protocol {
        Protocol::Cometbft => Claim::Cometbft(CometbftClaim {
            floor_height: line.number_or("floor", 0),
            signed: cometbft_signed(line, names),
        }),
        Protocol::Ethereum => Claim::Ethereum(EthereumClaim {
            slot: line.number_option("slot"),
            epochs: line
                .number_option("source")
                .map(|source_epoch| ClaimedEpochs { source_epoch, target_epoch: line.number("target") }),
        }),
        Protocol::Tezos => Claim::Tezos(TezosClaim {
            floor_level: line.number_option("floor").map(|floor| floor.try_into().unwrap()),
            block: level_round("block", line),
            preattestation: level_round("preattestation", line),
            attestation: level_round("attestation", line),
        }),
        Protocol::Generic => Claim::Generic(GenericClaim {
            floor_height: line.number_option("floor"),
            newest: line.parts("newest").map(|parts: [String; 3]| parts.map(|p| line.parsed("newest", &p))),
        }),
    }
}

fn cometbft_signed(line: &mut Line, names: &mut Names) -> Option<ClaimedMessage> {
    let [height, round, step]: [String; 3] = line.parts("signed")?;
    let position = Position {
        height: line.parsed("signed", &height),
        round: line.parsed("signed", &round),
        step: step_called(&step),
    };
    let content = line.option("signed-content").map(|block| {
        let seconds = line.number_or("signed-time", 10).try_into().unwrap();
        let payload = cometbft_payload(names, position, &block, seconds);
        Content { payload, timestamp: Timestamp { seconds, nanos: 0 } }
    });
    let block = line.option("signed-block").and_then(|block| names.block(&block));
    Some(ClaimedMessage { position, content, block })
}

fn level_round(name: &str, line: &mut Line) -> Option<LevelRound> {
    let [level, round]: [String; 2] = line.parts(name)?;
    Some(LevelRound { level: line.parsed(name, &level), round: line.parsed(name, &round) })
}
