//! openraft's own storage suite, on real files and on the simulated disk.

use std::path::Path;
use std::sync::Arc;

use interlock_disk::{Disk, RealDisk, SimDisk};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use super::support::{format_and_open, small_options};
use crate::{LogStore, StateMachine, TypeConfig};

struct OnRealDisk;
struct OnSimulatedDisk;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, tempfile::TempDir> for OnRealDisk {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let root = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let (options, _) = small_options();
        let store = format_and_open(&disk, &root.path().join("data"), &options);
        Ok((root, store.log, store.machine))
    }
}

impl StoreBuilder<TypeConfig, LogStore, StateMachine, ()> for OnSimulatedDisk {
    async fn build(&self) -> Result<((), LogStore, StateMachine), StorageError<TypeConfig>> {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let (options, _) = small_options();
        let store = format_and_open(&disk, Path::new("/data"), &options);
        Ok(((), store.log, store.machine))
    }
}

#[tokio::test]
async fn openraft_storage_suite_passes_on_real_files() {
    Suite::test_all(OnRealDisk).await.unwrap();
}

#[tokio::test]
async fn openraft_storage_suite_passes_on_the_simulated_disk() {
    Suite::test_all(OnSimulatedDisk).await.unwrap();
}
