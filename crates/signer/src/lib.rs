//! The signer: front doors, key backends, local watermark.
//!
//! The only crate that holds validator keys. A guarded message is signed only through a [`interlock_client::Permit`],
//! and only after this signer's own durable watermark agreed. May not live here: the rules (core), formats of chains
//! (chains), how the guard is reached (client).

mod backend;
mod config;
mod enroll;
mod front_door;
mod health;
mod inspect;
mod key_file;
mod lease_wait;
mod repin;
mod run;
mod sign_path;
mod tap;
mod watermark;

pub use config::{ConfigError, KEYS_MAX, KeyConfig, NODES_PER_KEY_MAX, NodeConfig, SignerConfig, Timing};
pub use enroll::{EnrollError, Enrolled, enroll, enroll_on};
pub use inspect::{WatermarkReport, read_watermark};
pub use key_file::KeyFileError;
pub use repin::repin;
pub use run::{Signer, StartError, StateDirError};
pub use tap::TapError;
pub use watermark::WatermarkError;
