//! A disk that hangs: the node is answered in time, and nothing is signed late.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod rig;

use interlock_disk::{DirectoryLock, Disk, DiskError, DiskFile, LockError, SimDisk};
use interlock_signer::{Signer, enroll_on};
use rig::{Node, Rig, prevote};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Syncs wait while it is closed.
#[derive(Debug, Default)]
struct Gate {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set_closed(&self, closed: bool) {
        *self.closed.lock().unwrap() = closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let _open = self.changed.wait_while(self.closed.lock().unwrap(), |closed| *closed).unwrap();
    }
}

#[derive(Debug)]
struct GatedDisk {
    inside: SimDisk,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct GatedFile {
    inside: Box<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl GatedDisk {
    fn gated(&self, inside: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(GatedFile { inside, gate: Arc::clone(&self.gate) })
    }
}

impl Disk for GatedDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.inside.create_dir(path)
    }
    fn list(&self, path: &Path) -> Result<Vec<String>, DiskError> {
        self.inside.list(path)
    }
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        self.inside.create(path).map(|file| self.gated(file))
    }
    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        self.inside.open(path).map(|file| self.gated(file))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.inside.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.inside.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.inside.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<DirectoryLock, LockError> {
        self.inside.lock(path)
    }
}

impl DiskFile for GatedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.inside.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.inside.write_at(offset, bytes)
    }
    fn size(&self) -> Result<u64, DiskError> {
        self.inside.size()
    }
    fn set_size(&self, size: u64) -> Result<(), DiskError> {
        self.inside.set_size(size)
    }
    fn sync_data(&self) -> Result<(), DiskError> {
        self.gate.pass();
        self.inside.sync_data()
    }
}

#[tokio::test]
async fn a_disk_that_hangs_keeps_no_node_waiting_and_signs_nothing_late() {
    let rig = Rig::new().await;
    let gate = Arc::new(Gate::default());
    let disk = GatedDisk { inside: SimDisk::new(), gate: Arc::clone(&gate) };
    let mut node = Node::bind().await;
    let mut config = rig.config("alpha", &node.address());
    config.state_dir = Path::new("/state").to_owned();
    enroll_on(&disk, &config).await.unwrap();
    config.timing.answer_deadline_ms = 1_000;
    config.timing.hold_ms = 500;
    let signer = Signer::start_on(&disk, &config, Some(&rig.tap_path("alpha"))).await.unwrap();
    rig.guard.wait_sessions("alpha").await;
    rig.grant("alpha", signer.holder().incarnation);
    node.accept().await;

    gate.set_closed(true);
    let started = Instant::now();
    let late = node.vote(prevote(5, 1)).await;
    let busy = node.vote(prevote(6, 1)).await;
    let took = started.elapsed();
    // Opened before anything can fail: a thread waits behind it.
    gate.set_closed(false);
    assert!(late.unwrap_err().contains("no answer in time"));
    assert!(busy.unwrap_err().contains("earlier request"));
    assert!(took < Duration::from_millis(4_500), "took {took:?}");

    // The approval of the late request stands in the guard and the mark on the disk; only the signature is missing.
    node.vote(prevote(5, 1)).await.unwrap();
    assert_eq!(rig.tap("alpha").len(), 1);
}
