//! Enrolment: the one way in which a local watermark begins to exist (S6).
//!
//! It starts from a linearizable read of the guard: everything that the guard ever approved counts as signed here.

use crate::backend::{Backend, FileBackend};
use crate::config::{ConfigError, KeyConfig, SignerConfig};
use crate::key_file::KeyFileError;
use crate::run::{StateDirError, lock_state_dir, signer_name};
use crate::watermark::{Enrolment, Mark, Watermark, WatermarkError, path_of};
use interlock_client::{
    CallLimits, Channels, ChannelsError, GetKeyError, KeySelector, LeaderClient, Repeat, TlsError, get_key,
};
use interlock_core::cometbft::Position;
use interlock_core::{ClusterId, Digest, KeyName, SignerId};
use interlock_disk::{Disk, DiskError, RealDisk};
use interlock_proto::{ConversionError, position_from_wire, v1};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// How long the guard is asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one node is waited for.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// What enrolment did for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Its name.
    pub key: KeyName,
    /// The cluster that is trusted for it from now on.
    pub cluster: ClusterId,
    /// No height up to and including this one will be signed.
    pub floor_height: u64,
    /// Newest position approved before; counts as signed.
    pub approved: Option<Position>,
}

/// Why enrolment did nothing, or stopped.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // Fields repeat what the variant and its message say.
pub enum EnrollError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the certificate is for {found}; enrolment needs that of a signer")]
    NotASigner { found: String },
    #[error(transparent)]
    Channels(#[from] ChannelsError),
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error("cannot create the state directory: {0}; make its parent directory first")]
    CreateStateDir(DiskError),
    #[error("key {key}: {source}")]
    KeyFile { key: KeyName, source: KeyFileError },
    #[error("key {key}: {source}")]
    Guard { key: KeyName, source: GetKeyError },
    #[error("key {key}: the guard's answer is malformed: {source}")]
    Malformed { key: KeyName, source: ConversionError },
    #[error(
        "key {key}: the guard has {what} {guard}, here it is {ours}; correct the configuration or the key file"
    )]
    Differs { key: KeyName, what: &'static str, guard: String, ours: String },
    #[error("key {key}: signer {signer} is not registered for it, only {registered}")]
    NotRegistered { key: KeyName, signer: SignerId, registered: String },
    #[error(
        "key {key}: the guard answers as cluster {answered}, the signer's other keys are enrolled in {pinned}; if the \
         guard was restored, use `signer enroll --repin`"
    )]
    OtherCluster { key: KeyName, pinned: ClusterId, answered: ClusterId },
    #[error("every key is enrolled in cluster {cluster} already: there is nothing to pin anew")]
    AlreadyPinned { cluster: ClusterId },
    #[error(transparent)]
    Watermark(#[from] WatermarkError),
}

/// Creates the local watermark of every configured key that has none yet. Creates the state directory if need be.
///
/// # Errors
/// See [`EnrollError`]. When every key has a watermark already, that is an error too: nothing is ever created twice.
pub async fn enroll(config: &SignerConfig) -> Result<Vec<Enrolled>, EnrollError> {
    enroll_on(&RealDisk, config).await
}

/// As [`enroll`], with the state directory on another disk.
///
/// # Errors
/// As [`enroll`].
pub async fn enroll_on(disk: &dyn Disk, config: &SignerConfig) -> Result<Vec<Enrolled>, EnrollError> {
    config.check()?;
    let tls = config.tls.load()?;
    let signer =
        signer_name(tls.identity()).map_err(|found| EnrollError::NotASigner { found: found.to_string() })?;
    make_state_dir(disk, &config.state_dir).map_err(EnrollError::CreateStateDir)?;
    let _lock = lock_state_dir(disk, &config.state_dir)?;
    let (fresh, mut pinned) = survey(disk, config)?;
    let leader = LeaderClient::new(Channels::new(&config.guards, &tls)?);
    // Everything is checked before the first file is made.
    let mut found = Vec::new();
    for key in fresh {
        let backend = open_backend(key)?;
        let (enrolment, enrolled) = ask(&leader, key, &backend, &signer).await?;
        let cluster = *pinned.get_or_insert(enrolled.cluster);
        if cluster != enrolled.cluster {
            let (key, answered) = (key.name.clone(), enrolled.cluster);
            return Err(EnrollError::OtherCluster { key, pinned: cluster, answered });
        }
        found.push((enrolment, enrolled));
    }
    for (enrolment, enrolled) in &found {
        Watermark::create(disk, &config.state_dir, &enrolled.key, *enrolment)?;
    }
    Ok(found.into_iter().map(|(_, enrolled)| enrolled).collect())
}

fn make_state_dir(disk: &dyn Disk, state_dir: &Path) -> Result<(), DiskError> {
    match disk.create_dir(state_dir) {
        Ok(()) => {}
        Err(error) if error.is_already_exists() => {}
        Err(error) => return Err(error),
    }
    // Its own name must survive a power cut too, or the watermarks in it would not.
    match state_dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => disk.sync_dir(parent),
        _ => disk.sync_dir(Path::new(".")),
    }
}

pub(crate) fn open_backend(key: &KeyConfig) -> Result<Backend, EnrollError> {
    let failed = |source| EnrollError::KeyFile { key: key.name.clone(), source };
    FileBackend::open(&key.key_file, &key.chain_id).map(Backend::File).map_err(failed)
}

/// The keys without a watermark, and the cluster that those with one are enrolled in.
fn survey<'a>(
    disk: &dyn Disk,
    config: &'a SignerConfig,
) -> Result<(Vec<&'a KeyConfig>, Option<ClusterId>), EnrollError> {
    let (mut fresh, mut pinned) = (Vec::new(), None);
    for key in &config.keys {
        match Watermark::open(disk, &config.state_dir, &key.name, open_backend(key)?.key()) {
            Ok(watermark) => pinned = Some(watermark.cluster()),
            Err(WatermarkError::Missing { .. }) => fresh.push(key),
            Err(error) => return Err(error.into()),
        }
    }
    if fresh.is_empty() {
        let key = config.keys[0].name.clone();
        let path = path_of(&config.state_dir, &key);
        return Err(WatermarkError::Exists { key, path }.into());
    }
    Ok((fresh, pinned))
}

pub(crate) async fn ask(
    leader: &LeaderClient,
    key: &KeyConfig,
    backend: &Backend,
    signer: &SignerId,
) -> Result<(Enrolment, Enrolled), EnrollError> {
    let limits = CallLimits {
        deadline: Instant::now() + PATIENCE,
        attempt_timeout: ATTEMPT_TIMEOUT,
        repeat: Repeat::Always,
    };
    let selector = KeySelector::Name(key.name.to_string());
    let (cluster, wire) = get_key(leader, &selector, limits)
        .await
        .map_err(|source| EnrollError::Guard { key: key.name.clone(), source })?;
    check_same(key, backend, &wire)?;
    if !wire.signers.iter().any(|registered| registered == signer.as_str()) {
        let (key, signer, registered) = (key.name.clone(), signer.clone(), wire.signers.join(", "));
        return Err(EnrollError::NotRegistered { key, signer, registered });
    }
    let malformed = |source| EnrollError::Malformed { key: key.name.clone(), source };
    let approved = match &wire.approved {
        None => None,
        Some(position) => {
            let payload = approved_payload(&wire.approved_payload).map_err(malformed)?;
            let position = position_from_wire(position).map_err(malformed)?;
            Some(Mark { position, payload })
        }
    };
    let floor_height = floor_of(&wire);
    let enrolled = Enrolled {
        key: key.name.clone(),
        cluster,
        floor_height,
        approved: approved.map(|mark| mark.position),
    };
    Ok((Enrolment { cluster, key: backend.key(), floor_height, approved }, enrolled))
}

/// Nothing at or below this is signed: what the guard excludes, and the heights that a holder may be signing from
/// memory at this moment.
fn floor_of(wire: &v1::Key) -> u64 {
    wire.floor_height.max(wire.window_up_to_height.unwrap_or(0))
}

/// What the guard approved there. A position that it imported has no payload: then nothing may be signed there, and no
/// payload has this digest.
fn approved_payload(wire: &[u8]) -> Result<Digest, ConversionError> {
    if wire.is_empty() {
        return Ok(Digest([0; 32]));
    }
    let length = ConversionError::Length { field: "approved_payload", len: wire.len(), expected: 32 };
    wire.try_into().map(Digest).map_err(|_| length)
}

fn check_same(key: &KeyConfig, backend: &Backend, wire: &v1::Key) -> Result<(), EnrollError> {
    let hex_of = |bytes: &[u8]| hex::encode(bytes);
    let pairs = [
        ("protocol", wire.protocol.clone(), "cometbft".to_owned()),
        ("chain id", wire.chain_id.clone(), key.chain_id.to_string()),
        ("public key", hex_of(&wire.public_key), hex_of(&backend.public_key())),
        ("key id", hex_of(&wire.key_id), hex_of(&backend.key().0)),
    ];
    match pairs.into_iter().find(|(_, guard, ours)| guard != ours) {
        Some((what, guard, ours)) => Err(EnrollError::Differs { key: key.name.clone(), what, guard, ours }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signer that was enrolled while another signed ahead used to begin below what that one may have signed.
    #[test]
    fn an_open_window_is_below_the_floor_of_a_new_watermark() {
        let key =
            |window_up_to_height| v1::Key { floor_height: 7, window_up_to_height, ..v1::Key::default() };
        assert_eq!(floor_of(&key(None)), 7);
        assert_eq!(floor_of(&key(Some(15))), 15);
    }

    #[test]
    fn a_position_without_a_payload_is_kept_and_matches_none() {
        assert_eq!(approved_payload(&[]).unwrap(), Digest([0; 32]));
        assert_eq!(approved_payload(&[3; 32]).unwrap(), Digest([3; 32]));
        assert!(approved_payload(&[3; 31]).is_err());
    }
}
