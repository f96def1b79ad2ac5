//! One store over many crashes.

use std::path::PathBuf;
use std::sync::Arc;

use interlock_core::AuditChain;
use interlock_disk::sim::{Fault, FaultKind, SplitMix};
use interlock_disk::{Disk, Operation, SimDisk};
use interlock_store::{FatalHook, FormatError, IdentityError, Store, StoreOpenError, StoreOptions};
use openraft::StorageHelper;

use super::model::Model;
use crate::common::{Acknowledgement, format_store, open_store, options};
use crate::planted::Planted;

const SEGMENT_BYTES: u64 = 8 * 1024;
/// Operations of one life at most.
const OPERATIONS_MAX: u64 = 60;
/// A cut falls within so many changing operations of the disk.
const DISK_OPERATIONS_MAX: u64 = 160;

pub(super) struct Life {
    pub(super) disk: SimDisk,
    planted: Planted,
    options: StoreOptions,
    directory: PathBuf,
    formatted: bool,
    pub(super) random: SplitMix,
    pub(super) model: Model,
    /// Appends that nobody has answered yet, with the state of the log that they lead to.
    pub(super) waiting: Vec<(usize, Acknowledgement)>,
    pub(super) term: u64,
    pub(super) serial: u64,
    /// Power cuts so far.
    pub(super) cuts: u64,
    /// Acknowledgements that were checked after a crash.
    pub(super) acknowledged: u64,
    /// Acknowledgements of this life.
    pub(super) answered: u64,
}

impl Life {
    pub(super) fn new(seed: u64, planted: Planted) -> Life {
        // A failure is an error of the call that met it; what is acknowledged nevertheless is what counts.
        let mut options = options(SEGMENT_BYTES, FatalHook::new(|_| ()));
        options.wal.prepare_ahead = seed % 4 == 3;
        Life {
            disk: SimDisk::new(),
            planted,
            options,
            directory: PathBuf::from("/data"),
            formatted: false,
            random: SplitMix::new(seed),
            model: Model::default(),
            waiting: Vec::new(),
            term: 1,
            serial: 0,
            cuts: 0,
            acknowledged: 0,
            answered: 0,
        }
    }

    pub(super) fn open(&self) -> Result<Store, StoreOpenError> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        open_store(self.planted.disk(disk), &self.directory, &self.options)
    }

    pub(super) fn cut(&mut self) {
        self.disk.power_cut(self.random.next_u64());
        self.cuts += 1;
    }

    /// One life: start, work, crash; then checks what is left. An error is a broken promise.
    pub(super) async fn live_and_crash(&mut self) -> Result<(), String> {
        if !self.formatted {
            self.format()?;
        }
        let mut store = self.open().map_err(|error| error.to_string())?;
        self.answered = 0;
        let fails = self.prepare_end();
        if self.restart(&mut store).await.is_ok() {
            for _ in 0..OPERATIONS_MAX {
                if self.operation(&mut store).await.is_break() {
                    break;
                }
            }
        }
        // Whether it went well does not matter here, only what was acknowledged.
        let _ = self.collect_acknowledged().await;
        drop(store);
        self.disk.clear_faults();
        // A process that dies leaves the kernel's memory; the next one must make durable what it finds there.
        if fails || self.random.one_in(4) {
            self.disk.kill_process();
        } else {
            self.cut();
        }
        self.crash_while_starting();
        self.check_what_is_left().await?;
        self.acknowledged += self.answered;
        Ok(())
    }

    /// Chooses how this life ends: by a cut inside an operation, or by a write or a sync that fails.
    fn prepare_end(&mut self) -> bool {
        let fails = self.random.one_in(6);
        if !fails {
            self.disk.cut_after(1 + self.random.below(DISK_OPERATIONS_MAX));
            return false;
        }
        let (operation, kind) = match self.random.below(4) {
            0 | 1 => (Operation::SyncData, FaultKind::Io),
            2 => (Operation::Write, FaultKind::Short),
            _ => (Operation::SyncDir, FaultKind::Io),
        };
        let after = self.random.below(40);
        self.disk.inject(Fault { after, once: true, ..Fault::from_now(operation, "/data", kind) });
        true
    }

    /// What openraft does at a start: it applies the committed entries of the log to the snapshot's state.
    async fn restart(&mut self, store: &mut Store) -> Result<(), std::io::Error> {
        let restarted =
            StorageHelper::new(&mut store.log, &mut store.machine).with_id(1).get_initial_state().await;
        restarted.map_err(std::io::Error::other)?;
        self.model.applied = store.state.read(|applied| applied.last_applied);
        Ok(())
    }

    /// Formats until it succeeds. A cut inside may leave something incomplete, which a start refuses and says so.
    fn format(&mut self) -> Result<(), String> {
        for attempt in 0.. {
            self.directory = PathBuf::from(format!("/data-{attempt}"));
            if self.random.one_in(2) {
                self.disk.cut_after(1 + self.random.below(60));
            }
            // Honestly, or each planted bug would be noticed here already.
            let formatted = format_store(&self.disk, &self.directory, &self.options);
            if self.random.one_in(2) {
                self.cut();
            } else {
                self.disk.kill_process();
            }
            match (formatted, self.open().map(drop)) {
                (_, Ok(())) => {
                    self.formatted = true;
                    break;
                }
                (
                    Err(FormatError::Disk(_) | FormatError::Lock(_)),
                    Err(StoreOpenError::Identity(
                        IdentityError::NotFormatted { .. } | IdentityError::Incomplete { .. },
                    )),
                ) => {}
                (formatted, Err(refused)) => {
                    return Err(format!("format gave {formatted:?}, and a start was refused: {refused}"));
                }
            }
        }
        self.model.begin(crate::common::LogContents::default(), None);
        Ok(())
    }

    /// Power may fail during a start too, any number of times.
    fn crash_while_starting(&mut self) {
        while self.random.one_in(3) {
            self.disk.cut_after(1 + self.random.below(12));
            drop(self.open());
            self.cut();
        }
    }

    /// The chain that the state must have after the entries before `end`.
    pub(super) fn chain(&self, end: u64) -> AuditChain {
        self.model.reference(end).0.audit_chain()
    }
}
