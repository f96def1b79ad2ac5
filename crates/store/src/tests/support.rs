//! A formatted store on a simulated or a real disk.

use std::path::Path;
use std::sync::{Arc, Mutex};

use interlock_core::ClusterId;
use interlock_disk::Disk;

use crate::FatalError;
use crate::audit::AuditOptions;
use crate::fatal::FatalHook;
use crate::identity::{Expected, FormatSpec, FoundingMember, format};
use crate::store::{Store, StoreOpenError, StoreOptions};
use crate::wal::WalOptions;

pub(super) const CLUSTER: ClusterId = ClusterId([7; 16]);
pub(super) const NODE_ID: u64 = 1;

/// Failures that the hook was told of.
pub(super) type Failures = Arc<Mutex<Vec<FatalError>>>;

pub(super) fn recording_hook() -> (FatalHook, Failures) {
    let failures = Failures::default();
    let seen = Arc::clone(&failures);
    (FatalHook::new(move |error| seen.lock().unwrap().push(error.clone())), failures)
}

pub(super) fn spec() -> FormatSpec {
    let member = FoundingMember {
        id: NODE_ID,
        peer_address: "127.0.0.1:7400".to_owned(),
        client_address: "127.0.0.1:7401".to_owned(),
    };
    FormatSpec { cluster_id: CLUSTER, node_id: NODE_ID, incarnation: 0x1234, members: vec![member] }
}

/// Small segments, so that a test rolls many; no thread beside the writer, so that a seed repeats.
pub(super) fn small_options() -> (StoreOptions, Failures) {
    let (on_fatal, failures) = recording_hook();
    let mut options = StoreOptions::new(on_fatal);
    options.wal = WalOptions { segment_bytes: 8 * 1024, prepare_ahead: false, ..WalOptions::default() };
    options.wal.cache_bytes_max = 2 * 1024;
    options.audit = AuditOptions { segment_bytes: 4 * 1024, index: false, ..AuditOptions::default() };
    (options, failures)
}

pub(super) fn expected() -> Expected {
    Expected { node_id: NODE_ID, cluster_id: Some(CLUSTER) }
}

pub(super) fn open(
    disk: &Arc<dyn Disk>,
    path: &Path,
    options: &StoreOptions,
) -> Result<Store, StoreOpenError> {
    Store::open(Arc::clone(disk), path, expected(), options)
}

pub(super) fn format_and_open(disk: &Arc<dyn Disk>, path: &Path, options: &StoreOptions) -> Store {
    format(disk.as_ref(), path, &spec(), &options.wal).unwrap();
    open(disk, path, options).unwrap()
}
