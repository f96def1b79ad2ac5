//! What must hold at the end of every test, whatever was done in it.

use std::collections::BTreeSet;
use std::time::Duration;

use interlock_client::{Channels, GuardEndpoint, OperatorClient, TlsFiles};
use interlock_proto::v1::AuditRecord;
use interlock_testkit::cluster::NODE_IDS;
use interlock_testkit::history::{Entry, conflicts};
use interlock_testkit::signbytes::Kind;

use crate::world::World;

/// Heights that must be signed after everything was healed.
const HEIGHTS_AFTER_HEALING: i64 = 3;
/// Most records that a node gives at once; a test here makes a few hundred.
const AUDIT_RECORDS_MAX: u32 = 1_000;
/// How long the audit trail is asked for.
const PATIENCE: Duration = Duration::from_secs(5);
/// `R8 Repeat` and `R14 Advance`: the only two rules that approve.
const APPROVING_RULES: [u32; 2] = [8, 14];

/// Where a signature stands in the protocol: height, round, and the order of steps within a round.
type Place = (i64, i64, u8);

/// The place of a guarded signature; `None` for a vote extension, which cannot conflict and is not guarded.
pub(crate) fn place(entry: &Entry) -> Option<Place> {
    let step = match entry.signed.kind {
        Kind::Proposal => 0,
        Kind::Prevote => 1,
        Kind::Precommit => 2,
        Kind::Extension => return None,
    };
    Some((entry.signed.height, entry.signed.round, step))
}

impl World {
    /// Healed, the key is signed for again; nothing that ever came out conflicts.
    pub(crate) fn finish(mut self) {
        self.sign_on(HEIGHTS_AFTER_HEALING);
        self.stop_chain();
        self.check_taps();
        self.cluster.must_run().unwrap();
    }

    /// Stops the chain; its ledger must hold no conflict, and nothing that no tap shows.
    fn stop_chain(&mut self) {
        let chain = self.take_chain();
        let received = chain.signatures();
        let report = self.runtime.block_on(chain.stop());
        assert!(report.conflicts.is_empty(), "the chain holds conflicting votes: {:?}", report.conflicts);
        assert_eq!(report.invalid, 0, "answers that no node can use: {report:?}");
        assert!(!received.is_empty(), "nothing was signed, so nothing was tested");
        let left: BTreeSet<Vec<u8>> = self.all_entries().into_iter().map(|entry| entry.signature).collect();
        for record in received {
            let (step, height) = (record.step, record.height);
            assert!(left.contains(&record.signature), "a {step} of height {height} is in no tap");
        }
    }

    /// No two signatures conflict, no signer goes back, and every signature has its approval in the audit trail.
    fn check_taps(&mut self) {
        let entries = self.all_entries();
        let conflicts = conflicts(&entries);
        assert!(conflicts.is_empty(), "{} conflicts; the first: {}", conflicts.len(), conflicts[0]);
        for tap in self.taps() {
            let places: Vec<Place> = self.read_tap(tap).iter().filter_map(place).collect();
            assert!(places.is_sorted(), "{} goes back: {places:?}", tap.display());
        }
        let operator = self.operator();
        self.wait("the approval of every signature in the audit trail", |world| {
            let records = world.runtime.block_on(operator.audit_tail(None, AUDIT_RECORDS_MAX, None));
            let records = records.map_err(|error| error.to_string())?;
            assert!(records.len() < AUDIT_RECORDS_MAX as usize, "too many records to see them all");
            match entries.iter().find(|entry| !is_approved(entry, &records)) {
                None => Ok(()),
                Some(entry) => Err(format!("{} signed {:?} without", entry.signer, entry.signed)),
            }
        });
    }

    fn all_entries(&self) -> Vec<Entry> {
        self.taps().iter().flat_map(|tap| self.read_tap(tap)).collect()
    }

    fn operator(&self) -> OperatorClient {
        let pki = self.directory().join("pki");
        let files = TlsFiles {
            ca: pki.join("ca.pem"),
            cert: pki.join("operator-tester.pem"),
            key: pki.join("operator-tester.key"),
        };
        let endpoints: Vec<GuardEndpoint> = NODE_IDS
            .iter()
            .map(|id| GuardEndpoint {
                id: *id,
                address: self.cluster.client_address(*id).unwrap().to_string(),
            })
            .collect();
        let _inside = self.runtime.enter();
        OperatorClient::new(Channels::new(&endpoints, &files.load().unwrap()).unwrap(), PATIENCE)
    }
}

/// Whether a record approves this position for a process of this signer. Extensions go with their precommit.
fn is_approved(entry: &Entry, records: &[AuditRecord]) -> bool {
    let step = match entry.signed.kind {
        Kind::Proposal => "proposal",
        Kind::Prevote => "prevote",
        Kind::Precommit | Kind::Extension => "precommit",
    };
    let (height, round) = (entry.signed.height, entry.signed.round);
    let asked = format!("approve height {height} round {round} {step} under epoch ");
    let process = format!("{}/", entry.signer);
    records.iter().any(|record| {
        APPROVING_RULES.contains(&record.rule)
            && record.summary.starts_with(&asked)
            && record.holder.starts_with(&process)
    })
}
