//! Payloads of the chains in the worlds, and what conflicts on them, written down without a look at the rule
//! book.
//!
//! Three chains, because the rules know three shapes of position: a line with a lock (CometBFT), a line
//! (generic), and two kinds side by side of which one can surround (Ethereum).

use interlock_core::cometbft::{
    CometbftClaim, CometbftIntent, Position as CometbftPosition, Step, Timestamp,
};
use interlock_core::ethereum::{ClaimedEpochs, EthereumClaim, EthereumIntent};
use interlock_core::generic::{GenericClaim, GenericIntent};
use interlock_core::{ChainId, ChainIdentity, Claim, Digest, Intent, NodeName, Position};

/// A chain of a world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Chain {
    /// Heights, rounds, steps.
    Cometbft,
    /// One number.
    Generic,
    /// Blocks and attestations.
    Ethereum,
}

/// A payload that a node may ask for: a position, and which of two contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Payload {
    /// Where.
    pub(crate) position: Position,
    /// Which block, root or content.
    pub(crate) content: u8,
}

/// A CometBFT vote.
pub(crate) const fn vote(height: u64, round: u32, step: Step, content: u8) -> Payload {
    Payload { position: Position::Cometbft(CometbftPosition { height, round, step }), content }
}

/// A generic payload.
pub(crate) const fn generic(first: u64, second: u64, content: u8) -> Payload {
    Payload { position: Position::Generic([first, second, 0]), content }
}

/// An Ethereum block.
pub(crate) const fn block(slot: u64, content: u8) -> Payload {
    Payload { position: Position::EthereumBlock { slot }, content }
}

/// An Ethereum attestation.
pub(crate) const fn attestation(source_epoch: u64, target_epoch: u64, content: u8) -> Payload {
    Payload { position: Position::EthereumAttestation { source_epoch, target_epoch }, content }
}

impl Chain {
    pub(crate) fn identity(self) -> ChainIdentity {
        let name = || ChainId::parse("world").expect("a valid name");
        match self {
            Self::Cometbft => ChainIdentity::Cometbft(name()),
            Self::Generic => ChainIdentity::Generic(name()),
            Self::Ethereum => ChainIdentity::Ethereum { genesis_validators_root: Digest([7; 32]) },
        }
    }

    /// What an operator claims: nothing up to and including this height is free.
    pub(crate) fn floor(self, height: u64) -> Claim {
        match self {
            Self::Cometbft => Claim::Cometbft(CometbftClaim::floor(height)),
            Self::Generic => Claim::Generic(GenericClaim { floor_height: Some(height), newest: None }),
            Self::Ethereum => {
                let epochs = Some(ClaimedEpochs { source_epoch: 0, target_epoch: height / 32 });
                Claim::Ethereum(EthereumClaim { slot: Some(height), epochs })
            }
        }
    }

    /// A key that never signed.
    pub(crate) fn nothing(self) -> Claim {
        match self {
            Self::Cometbft => Claim::Cometbft(CometbftClaim::floor(0)),
            Self::Generic => Claim::Generic(GenericClaim::default()),
            Self::Ethereum => Claim::Ethereum(EthereumClaim::default()),
        }
    }
}

impl Payload {
    /// The digest that a signer compares.
    pub(crate) fn digest(self) -> Digest {
        Digest([self.content + 1; 32])
    }

    /// As a signer asks for it. Each signer has a node of its own, with a clock of its own.
    pub(crate) fn intent(self, signer: u8) -> Intent {
        let payload = self.digest();
        match self.position {
            Position::Cometbft(position) => Intent::Cometbft(CometbftIntent {
                position,
                block: Some(payload),
                payload,
                timestamp: Timestamp { seconds: i64::from(signer), nanos: 0 },
                node: NodeName::parse(&format!("node-{signer}")).expect("a valid name"),
            }),
            Position::EthereumBlock { slot } => {
                Intent::Ethereum(EthereumIntent::Block { slot, signing_root: payload })
            }
            Position::EthereumAttestation { source_epoch, target_epoch } => {
                let signing_root = payload;
                Intent::Ethereum(EthereumIntent::Attestation { source_epoch, target_epoch, signing_root })
            }
            Position::Generic(position) => Intent::Generic(GenericIntent { position, payload }),
            Position::Tezos(_) => unreachable!("no world has a Tezos key"),
        }
    }
}

/// What the chain punishes: two contents at one place, or an attestation around another.
pub(crate) fn conflict(one: Payload, other: Payload) -> bool {
    if let (
        Position::EthereumAttestation { source_epoch: s1, target_epoch: t1 },
        Position::EthereumAttestation { source_epoch: s2, target_epoch: t2 },
    ) = (one.position, other.position)
    {
        let surrounds = (s1 < s2 && t2 < t1) || (s2 < s1 && t1 < t2);
        return surrounds || (t1 == t2 && (s1 != s2 || one.content != other.content));
    }
    one.position == other.position && one.content != other.content
}
