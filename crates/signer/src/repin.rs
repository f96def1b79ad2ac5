//! Pinning a restored guard: an operator's act, never automatic.
//!
//! A restored guard is another cluster, and may know less than this signer. So the local watermark stays as it is and
//! is only raised by what the new guard says; what the signer signed under the old guard it keeps refusing to
//! contradict (S7).

use crate::config::SignerConfig;
use crate::enroll::{EnrollError, Enrolled, ask, open_backend};
use crate::run::{lock_state_dir, signer_name};
use crate::watermark::Watermark;
use interlock_client::{Channels, LeaderClient};
use interlock_disk::RealDisk;

/// Pins the cluster that answers now, for every configured key. Each must have a watermark already.
///
/// # Errors
/// See [`EnrollError`]. When every key is pinned to that cluster already, that is an error too.
pub async fn repin(config: &SignerConfig) -> Result<Vec<Enrolled>, EnrollError> {
    config.check()?;
    let tls = config.tls.load()?;
    let signer =
        signer_name(tls.identity()).map_err(|found| EnrollError::NotASigner { found: found.to_string() })?;
    let _lock = lock_state_dir(&RealDisk, &config.state_dir)?;
    let leader = LeaderClient::new(Channels::new(&config.guards, &tls)?);
    // Everything is checked before the first file is changed.
    let mut found = Vec::new();
    let mut pinned = None;
    for key in &config.keys {
        let backend = open_backend(key)?;
        let watermark = Watermark::open(&RealDisk, &config.state_dir, &key.name, backend.key())?;
        let (enrolment, enrolled) = ask(&leader, key, &backend, &signer).await?;
        let cluster = *pinned.get_or_insert(enrolled.cluster);
        if cluster != enrolled.cluster {
            let (key, answered) = (key.name.clone(), enrolled.cluster);
            return Err(EnrollError::OtherCluster { key, pinned: cluster, answered });
        }
        if watermark.cluster() != cluster {
            found.push((watermark, enrolment, enrolled));
        }
    }
    match pinned {
        Some(cluster) if found.is_empty() => return Err(EnrollError::AlreadyPinned { cluster }),
        _ => {}
    }
    let mut repinned = Vec::new();
    for (mut watermark, enrolment, enrolled) in found {
        watermark.repin(&enrolled.key, enrolment)?;
        repinned.push(enrolled);
    }
    Ok(repinned)
}
