//! A log in a sled tree, whose `flush` counts as a sync: the harness must show that it loses what it acknowledged.

use std::path::Path;
use std::process::ExitCode;

use crate::arguments::WriteOptions;

/// Bytes of an entry with one approval, about.
const ENTRY_BYTES: usize = 256;

fn open(directory: &Path) -> Result<sled::Db, String> {
    // sled panics on some damage instead of returning an error.
    let opened = std::panic::catch_unwind(|| sled::open(directory.join("sled")));
    opened.map_err(|_| "sled panicked at open".to_owned())?.map_err(|error| error.to_string())
}

fn value(index: u64) -> Vec<u8> {
    index.to_be_bytes().repeat(ENTRY_BYTES / 8)
}

/// Appends until the storage fails.
pub(super) fn write(options: &WriteOptions) -> ExitCode {
    let Ok(log) = open(&options.directory) else { return ExitCode::FAILURE };
    let last = log
        .last()
        .ok()
        .flatten()
        .and_then(|(key, _)| Some(u64::from_be_bytes(key.as_ref().try_into().ok()?)));
    for index in last.map_or(0, |last| last + 1).. {
        let written = log.insert(index.to_be_bytes(), value(index)).and_then(|_| log.flush());
        if written.is_err() {
            break;
        }
        println!("append {index}");
    }
    ExitCode::FAILURE
}

/// All entries before `end` were acknowledged.
pub(super) fn check(directory: &Path, end: u64) -> Result<(), String> {
    let log = open(directory)?;
    for index in 0..end {
        match log.get(index.to_be_bytes()) {
            Ok(Some(found)) if *found == *value(index) => {}
            Ok(Some(_)) => return Err(format!("entry {index} is not what was written")),
            Ok(None) => return Err(format!("entry {index} is gone, {end} were acknowledged")),
            Err(error) => return Err(format!("entry {index}: {error}")),
        }
    }
    Ok(())
}
