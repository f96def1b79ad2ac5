//! How a toy chain runs. The defaults are the times of a stock CometBFT node, except for the pace of blocks.

use ed25519_dalek::VerifyingKey;
use interlock_privval::Address;
use std::time::Duration;

/// Default time from one height to the next.
const BLOCK_INTERVAL_MS: u64 = 100;
/// Default time that a height waits for our precommit before the chain goes on without it.
const PRECOMMIT_WAIT_MS: u64 = 1_000;
/// A node waits this long for an answer before it drops the connection.
const ANSWER_TIMEOUT_MS: u64 = 5_000;
/// A node pings after this much silence: two thirds of the above.
const PING_INTERVAL_MS: u64 = 3_333;

/// Everything that a chain needs to know.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    /// Goes into every signature.
    pub chain_id: String,
    /// The validator's consensus key; signatures by any other are invalid.
    pub validator_key: VerifyingKey,
    /// One entry for each node: where it listens for its signer. Port 0 lets the system choose.
    pub listen: Vec<Address>,
    /// The first height.
    pub first_height: i64,
    /// Shortest time from one height to the next.
    pub block_interval_ms: u64,
    /// Longest time that a height waits for our precommit. Below `block_interval_ms` it has no effect.
    pub precommit_wait_ms: u64,
    /// How long a node waits for an answer before it drops the connection.
    pub answer_timeout_ms: u64,
    /// After how much silence a node pings.
    pub ping_interval_ms: u64,
}

impl ChainConfig {
    /// A chain from height 1 with default times.
    pub fn new(chain_id: impl Into<String>, validator_key: VerifyingKey, listen: Vec<Address>) -> Self {
        Self {
            chain_id: chain_id.into(),
            validator_key,
            listen,
            first_height: 1,
            block_interval_ms: BLOCK_INTERVAL_MS,
            precommit_wait_ms: PRECOMMIT_WAIT_MS,
            answer_timeout_ms: ANSWER_TIMEOUT_MS,
            ping_interval_ms: PING_INTERVAL_MS,
        }
    }

    pub(crate) fn block_interval(&self) -> Duration {
        Duration::from_millis(self.block_interval_ms)
    }

    /// Counted, as the block interval is, from the start of the height.
    pub(crate) fn precommit_wait(&self) -> Duration {
        Duration::from_millis(self.precommit_wait_ms).max(self.block_interval())
    }

    pub(crate) fn answer_timeout(&self) -> Duration {
        Duration::from_millis(self.answer_timeout_ms)
    }

    pub(crate) fn ping_interval(&self) -> Duration {
        Duration::from_millis(self.ping_interval_ms)
    }
}
