//! What a world consists of, how often each thing may happen in it, and the tables that follow from that.

use crate::plant::Plant;
use crate::protocol::{Chain, Payload, conflict};
use crate::world::{Ask, Request, Who};
use interlock_core::command::AddKey;
use interlock_core::{
    Action, ClusterId, Command, Digest, Epoch, Holder, Incarnation, Intent, KeyId, KeyName, LogPosition,
    Policy, Position, PublicKey, Reason, SignerId,
};

/// Every command of a model stands at this place: places in the log decide nothing, and states merge.
pub(crate) const PLACE: LogPosition = LogPosition { log_index: 1, item: 0 };

/// How often each thing may happen in one run. This, and the payloads, bound the world; nothing else does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Budget {
    /// A node asks its signer for a payload, first or again.
    pub(crate) asks: u8,
    /// A signer takes a free lease.
    pub(crate) acquires: u8,
    /// A signer gives its lease back.
    pub(crate) releases: u8,
    /// A signer asks for a window, or to extend it.
    pub(crate) reserves: u8,
    /// The detector or an operator moves a lease, rightly or not.
    pub(crate) handovers: u8,
    /// A signer process dies and another one starts.
    pub(crate) crashes: u8,
    /// The same, with the local watermark lost.
    pub(crate) losses: u8,
    /// A signer process takes the lease that it sees for its own, whoever holds it.
    pub(crate) presumptions: u8,
    /// An operator freezes a key, and unfreezes it.
    pub(crate) freezes: u8,
    /// An operator imports a floor.
    pub(crate) imports: u8,
    /// An operator adds the keys that were not there at the start.
    pub(crate) adds: u8,
    /// A backup is taken and the cluster is lost and restored from it.
    pub(crate) restores: u8,
}

/// One small world.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Short, as the results name it.
    pub name: &'static str,
    /// What it is there for.
    pub about: &'static str,
    pub(crate) chain: Chain,
    pub(crate) payloads: Vec<Payload>,
    pub(crate) signers: u8,
    /// Keys that exist at the start, and keys that may be added.
    pub(crate) keys: u8,
    pub(crate) keys_later: u8,
    pub(crate) window_heights: u64,
    /// What an operator may import as a floor.
    pub(crate) import_height: u64,
    /// Whether handovers, acquisitions and an operator's commands arrive late and repeatedly, as every
    /// request of the sign path does in every world.
    pub(crate) late_orders: bool,
    pub(crate) budget: Budget,
    pub(crate) plant: Option<Plant>,
}

impl Setting {
    /// One line: everything that bounds the world.
    #[must_use]
    pub fn bounds(&self) -> String {
        let Budget {
            asks,
            acquires,
            releases,
            reserves,
            handovers,
            crashes,
            losses,
            presumptions,
            freezes,
            imports,
            adds,
            restores,
        } = self.budget;
        let budgets = [
            (asks, "asks"),
            (acquires, "acquires"),
            (releases, "releases"),
            (reserves, "reserves"),
            (handovers, "handovers"),
            (crashes, "crashes"),
            (losses, "crashes that lose the watermark"),
            (presumptions, "leases presumed"),
            (freezes, "freezes"),
            (imports, "imports"),
            (adds, "keys added"),
            (restores, "restores"),
        ];
        let listed = budgets.into_iter().filter(|(number, _)| *number > 0);
        let listed: Vec<String> = listed.map(|(number, what)| format!("{what} {number}")).collect();
        let keys = self.keys + self.keys_later;
        let positions: std::collections::BTreeSet<Position> =
            self.payloads.iter().map(|payload| payload.position).collect();
        format!(
            "signers: {}, keys: {keys}, payloads: {} at {} positions, windows: {} heights{}; at most: {}",
            self.signers,
            self.payloads.len(),
            positions.len(),
            self.window_heights,
            if self.late_orders { ", orders late and repeated" } else { "" },
            listed.join(", ")
        )
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy { window_heights: self.window_heights, ..Policy::default() }
    }
}

/// What follows from a setting and is computed once.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) key_ids: Vec<KeyId>,
    /// By signer and payload.
    intents: Vec<Vec<Intent>>,
    /// By bit: the signatures that must not come out besides it.
    conflicts: Vec<u64>,
}

pub(crate) fn cluster_id(cluster: u8) -> ClusterId {
    ClusterId([cluster + 1; 16])
}

pub(crate) fn holder(who: Who) -> Holder {
    let signer = SignerId::parse(&format!("signer-{}", who.signer)).expect("a valid name");
    Holder { signer, incarnation: Incarnation([who.incarnation; 16]) }
}

pub(crate) fn reason() -> Reason {
    Reason::parse("").expect("a reason may be empty")
}

fn public_key(key: u8) -> PublicKey {
    PublicKey::new(&[key + 1]).expect("one byte is enough")
}

impl Tables {
    pub(crate) fn new(setting: &Setting) -> Self {
        let keys = setting.keys + setting.keys_later;
        let chain = setting.chain.identity();
        let key_ids = (0..keys).map(|key| KeyId::of(&chain, &public_key(key))).collect();
        let intents = (0..setting.signers)
            .map(|signer| setting.payloads.iter().map(|payload| payload.intent(signer)).collect())
            .collect();
        let mut tables = Self { key_ids, intents, conflicts: Vec::new() };
        let all: Vec<(u8, u8, u8)> = (0..keys)
            .flat_map(|key| tables.payload_numbers().map(move |payload| (key, payload)))
            .flat_map(|(key, payload)| (0..setting.signers).map(move |stamp| (key, payload, stamp)))
            .collect();
        assert!(all.len() <= 64, "signatures are bits of one number");
        let conflicts = all.iter().map(|one| {
            let against = all.iter().filter(|other| are_in_conflict(setting, *one, **other));
            against.fold(0, |mask, (key, payload, stamp)| mask | tables.bit(*key, *payload, *stamp))
        });
        tables.conflicts = conflicts.collect();
        tables
    }

    fn payload_numbers(&self) -> std::ops::Range<u8> {
        0..u8::try_from(self.intents[0].len()).expect("few payloads")
    }

    /// One signature or approval: of this payload, with the timestamp of this signer's node.
    pub(crate) fn bit(&self, key: u8, payload: u8, stamp: u8) -> u64 {
        let (payloads, stamps) = (self.intents[0].len(), self.intents.len());
        1 << ((usize::from(key) * payloads + usize::from(payload)) * stamps + usize::from(stamp))
    }

    /// Whether two of these signatures conflict.
    pub(crate) fn have_conflict(&self, signatures: u64) -> bool {
        let bits = 0..self.conflicts.len();
        bits.into_iter().any(|bit| signatures >> bit & 1 == 1 && signatures & self.conflicts[bit] != 0)
    }

    pub(crate) fn intent(&self, signer: u8, payload: u8) -> &Intent {
        &self.intents[usize::from(signer)][usize::from(payload)]
    }

    /// The payload that an approval is about; `None`: nothing that was ever asked.
    pub(crate) fn payload(&self, position: Position, digest: Digest) -> Option<u8> {
        self.payload_numbers().find(|payload| {
            let intent = self.intent(0, *payload);
            intent.position() == position && intent.payload() == digest
        })
    }
}

/// The same payload with another timestamp is a conflict too: an approval that repeats carries the recorded
/// one.
fn are_in_conflict(setting: &Setting, one: (u8, u8, u8), other: (u8, u8, u8)) -> bool {
    let of = |payload: u8| setting.payloads[usize::from(payload)];
    let same_payload_other_stamp = one.1 == other.1 && one.2 != other.2;
    one.0 == other.0 && (conflict(of(one.1), of(other.1)) || same_payload_other_stamp)
}

/// The command that adds a key. In a restored cluster the operator claims what the chain shows.
pub(crate) fn add_key(setting: &Setting, key: u8, floor_height: Option<u64>) -> AddKey {
    let first = Who { signer: 0, incarnation: 1 };
    let signers = (0..setting.signers).map(|signer| holder(Who { signer, ..first }).signer).collect();
    let claim = floor_height.map_or(setting.chain.nothing(), |height| setting.chain.floor(height));
    AddKey {
        name: KeyName::parse(&format!("key-{key}")).expect("a valid name"),
        chain: setting.chain.identity(),
        public_key: public_key(key),
        signers,
        claim,
        policy: setting.policy(),
    }
}

/// The command that a request stands for.
pub(crate) fn command(setting: &Setting, tables: &Tables, request: &Request, lost: &[u64]) -> Command {
    let action = match &request.ask {
        Ask::Approve { from, epoch, payload, .. } => Action::Approve {
            holder: holder(*from),
            epoch: Epoch(*epoch),
            intent: tables.intent(from.signer, *payload).clone(),
        },
        Ask::Reserve { from, epoch, height } => Action::Reserve {
            holder: holder(*from),
            epoch: Epoch(*epoch),
            height: *height,
            up_to_height: height + setting.window_heights,
        },
        Ask::Release { from, epoch, give_back } => Action::Release {
            holder: holder(*from),
            epoch: Epoch(*epoch),
            give_back: give_back.as_deref().cloned(),
        },
        Ask::Acquire { from, expected_epoch } => {
            Action::Acquire { holder: holder(*from), expected_epoch: Epoch(*expected_epoch) }
        }
        Ask::Handover { to, expected_epoch } => {
            let (to, reason) = (holder(*to), reason());
            Action::Handover { expected_epoch: Epoch(*expected_epoch), to, reason }
        }
        Ask::Freeze { version } => Action::Freeze { expected_version: *version, reason: reason() },
        Ask::Unfreeze { version } => Action::Unfreeze { expected_version: *version, reason: reason() },
        Ask::Import { version, height } => Action::Import {
            expected_version: *version,
            claim: setting.chain.floor(*height),
            jump_confirmed: true,
            reason: reason(),
        },
        Ask::Lift { version } => Action::LiftQuarantine { expected_version: *version, attestation: reason() },
        Ask::Add => {
            Action::AddKey(add_key(setting, request.key, lost.get(usize::from(request.key)).copied()))
        }
    };
    Command { cluster: cluster_id(request.cluster), key: tables.key_ids[usize::from(request.key)], action }
}
