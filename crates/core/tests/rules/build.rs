//! Short ways to make the values that the tests need. Nothing here decides anything.

use interlock_core::cometbft::{CometbftIntent, Position, Step, Timestamp};
use interlock_core::command::AddKey;
use interlock_core::{
    Action, ChainId, ChainIdentity, ClusterId, Command, Digest, Epoch, Holder, Incarnation, Intent, KeyId,
    KeyName, LogPosition, NodeName, Policy, PublicKey, SignerId, State, Verdict,
};

pub(crate) const CLUSTER: ClusterId = ClusterId([7; 16]);

/// A state with its place in the log.
pub(crate) struct Machine {
    pub(crate) state: State,
    next_index: u64,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self { state: State::genesis(CLUSTER), next_index: 1 }
    }

    /// A machine with key 0, whose lease `holder(0, 1)` holds under epoch 1.
    pub(crate) fn holding(floor_height: u64, policy: Policy) -> Self {
        let mut machine = Self::new();
        machine.apply(&add_key(0, floor_height, policy));
        let acquire = Action::Acquire { holder: holder(0, 1), expected_epoch: Epoch(0) };
        assert!(!machine.act(0, acquire).is_denied());
        machine
    }

    pub(crate) fn at(&self) -> LogPosition {
        LogPosition { log_index: self.next_index, item: 0 }
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Verdict {
        let verdict = self.state.apply(self.at(), command);
        self.next_index += 1;
        verdict
    }

    pub(crate) fn act(&mut self, key: u8, action: Action) -> Verdict {
        self.apply(&Command { cluster: CLUSTER, key: key_id(key), action })
    }

    /// Key 0, asked by the holder that [`Self::holding`] made.
    pub(crate) fn ask(&mut self, intent: CometbftIntent) -> Verdict {
        self.act(
            0,
            Action::Approve { holder: holder(0, 1), epoch: Epoch(1), intent: Intent::Cometbft(intent) },
        )
    }
}

pub(crate) fn signer(number: u8) -> SignerId {
    SignerId::parse(["alpha", "beta", "gamma"][usize::from(number)]).unwrap()
}

pub(crate) fn holder(signer_number: u8, incarnation: u8) -> Holder {
    Holder { signer: signer(signer_number), incarnation: Incarnation([incarnation; 16]) }
}

fn chain() -> ChainIdentity {
    ChainIdentity::Cometbft(ChainId::parse("test-1").unwrap())
}

fn public_key(key: u8) -> PublicKey {
    PublicKey::new(&[key; 32]).unwrap()
}

pub(crate) fn key_id(key: u8) -> KeyId {
    KeyId::of(&chain(), &public_key(key))
}

/// Key number `key`, which alpha and beta may use.
pub(crate) fn add_key(key: u8, floor_height: u64, policy: Policy) -> Command {
    AddKey {
        name: KeyName::parse(&format!("key-{key}")).unwrap(),
        chain: chain(),
        public_key: public_key(key),
        signers: vec![signer(0), signer(1)],
        floor_height,
        policy,
    }
    .into_command(CLUSTER)
}

pub(crate) const STEPS: [Step; 3] = [Step::Proposal, Step::Prevote, Step::Precommit];

/// A message with block number `block` (0 is nil) and the payload that the chain's sign bytes would give it.
pub(crate) fn intent(position: Position, block: u8, seconds: i64, node: &str) -> CometbftIntent {
    let Position { height, round, step } = position;
    let mut payload = [0; 32];
    payload[0] = block;
    payload[1] = step as u8;
    payload[2..10].copy_from_slice(&height.to_be_bytes());
    payload[10..14].copy_from_slice(&round.to_be_bytes());
    if step == Step::Proposal {
        payload[14..22].copy_from_slice(&seconds.to_be_bytes());
    }
    CometbftIntent {
        position,
        block: (block != 0).then_some(Digest([block; 32])),
        payload: Digest(payload),
        timestamp: Timestamp { seconds, nanos: 0 },
        node: NodeName::parse(node).unwrap(),
    }
}
