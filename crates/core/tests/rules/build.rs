//! Short ways to make the values that the tests need. Nothing here decides anything.

use interlock_core::cometbft::{CometbftClaim, CometbftIntent, Position, Step, Timestamp};
use interlock_core::command::AddKey;
use interlock_core::ethereum::EthereumClaim;
use interlock_core::generic::GenericClaim;
use interlock_core::tezos::TezosClaim;
use interlock_core::{
    Action, ChainId, ChainIdentity, Claim, ClusterId, Command, Digest, Epoch, Holder, Incarnation, Intent,
    KeyId, KeyName, LogPosition, NodeName, Policy, PublicKey, Reason, SignerId, State, Verdict,
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

    /// A machine with a CometBFT key, whose lease `holder(0, 1)` holds under epoch 1.
    pub(crate) fn holding(floor_height: u64, policy: Policy) -> Self {
        Self::with(COMETBFT, Claim::Cometbft(CometbftClaim::floor(floor_height)), policy)
    }

    /// A machine with one key, whose lease `holder(0, 1)` holds under epoch 1.
    pub(crate) fn with(key: u8, claim: Claim, policy: Policy) -> Self {
        let mut machine = Self::new();
        if policy.window_heights > 0 {
            let raise = Action::RaiseRules { expected_rules: 1, rules: 2 };
            let key = KeyId::of_cluster(CLUSTER);
            machine.apply(&Command { cluster: CLUSTER, key, action: raise });
        }
        let added = machine.apply(&AddKey { claim, ..add_key(key, policy) }.into_command(CLUSTER));
        assert!(!added.is_denied(), "{added:?}");
        let acquire = Action::Acquire { holder: holder(0, 1), expected_epoch: Epoch(0) };
        assert!(!machine.act(key, acquire).is_denied());
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

    /// The CometBFT key, asked by the holder that [`Self::holding`] made.
    pub(crate) fn ask(&mut self, intent: CometbftIntent) -> Verdict {
        self.ask_key(COMETBFT, Intent::Cometbft(intent))
    }

    /// Any key, asked by the holder that [`Self::with`] made.
    pub(crate) fn ask_key(&mut self, key: u8, intent: Intent) -> Verdict {
        self.act(key, Action::Approve { holder: holder(0, 1), epoch: Epoch(1), intent })
    }

    /// Imports a claim, whatever jump it makes.
    pub(crate) fn import(&mut self, key: u8, claim: Claim) -> Verdict {
        let expected_version = self.state.key(key_id(key)).unwrap().version;
        let import = Action::Import { expected_version, claim, jump_confirmed: true, reason: reason("test") };
        self.act(key, import)
    }
}

pub(crate) fn reason(text: &str) -> Reason {
    Reason::parse(text).unwrap()
}

pub(crate) fn signer(number: u8) -> SignerId {
    SignerId::parse(["alpha", "beta", "gamma"][usize::from(number)]).unwrap()
}

pub(crate) fn holder(signer_number: u8, incarnation: u8) -> Holder {
    Holder { signer: signer(signer_number), incarnation: Incarnation([incarnation; 16]) }
}

/// Number of the key of each protocol.
pub(crate) const COMETBFT: u8 = 0;
pub(crate) const ETHEREUM: u8 = 1;
pub(crate) const TEZOS: u8 = 2;
pub(crate) const GENERIC: u8 = 3;

/// Keys are numbered; the number says the protocol as well.
pub(crate) fn chain(key: u8) -> ChainIdentity {
    let name = ChainId::parse("test-1").unwrap();
    match key % 4 {
        COMETBFT => ChainIdentity::Cometbft(name),
        ETHEREUM => ChainIdentity::Ethereum { genesis_validators_root: Digest([9; 32]) },
        TEZOS => ChainIdentity::Tezos(name),
        _ => ChainIdentity::Generic(name),
    }
}

pub(crate) fn key_id(key: u8) -> KeyId {
    KeyId::of(&chain(key), &PublicKey::new(&[key; 32]).unwrap())
}

/// Key number `key`, which alpha and beta may use, and which has signed nothing.
pub(crate) fn add_key(key: u8, policy: Policy) -> AddKey {
    AddKey {
        name: KeyName::parse(&format!("key-{key}")).unwrap(),
        chain: chain(key),
        public_key: PublicKey::new(&[key; 32]).unwrap(),
        signers: vec![signer(0), signer(1)],
        claim: nothing_signed(key),
        policy,
    }
}

pub(crate) fn nothing_signed(key: u8) -> Claim {
    match key % 4 {
        COMETBFT => Claim::Cometbft(CometbftClaim::floor(0)),
        ETHEREUM => Claim::Ethereum(EthereumClaim::default()),
        TEZOS => Claim::Tezos(TezosClaim::default()),
        _ => Claim::Generic(GenericClaim::default()),
    }
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
