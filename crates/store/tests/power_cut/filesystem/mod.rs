//! The layer of real file systems: ext4 and xfs on loop devices, shut down under a writing process.
//!
//! The shutdown ioctl without a flush of the journal leaves on the device what the file system had sent there, as a
//! power cut does. The writing process prints what the store acknowledged; afterwards the file system is mounted again
//! and must hold all of it. Needs root, loop devices, `mkfs.ext4`, `mkfs.xfs` and `xfs_io`; without them the layer says
//! that it did not run.

mod check;
mod mount;
mod sled_log;
mod writer;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use interlock_disk::sim::SplitMix;
use interlock_store::EXIT_STORAGE_FAILED;

use crate::arguments::Kind;
use crate::planted::Planted;
use crate::report::{Outcome, Report};
use check::Expected;
use mount::Mounted;

pub(crate) use writer::write;

/// A cut falls when this many acknowledgements were read, at most.
const ACKNOWLEDGEMENTS_BEFORE_CUT_MAX: u64 = 150;
/// The writing process must notice the end of its file system within this time.
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs `cuts` cuts, or until the first broken promise.
pub(crate) fn run(kind: Kind, cuts: u64, seed: u64, planted: Planted) -> Outcome {
    let mut mounted = match Mounted::create(kind) {
        Ok(mounted) => mounted,
        Err(reason) => return Outcome::NotRun { layer: kind.name(), reason },
    };
    let mut report = Report::new(kind.name());
    let mut random = SplitMix::new(seed);
    let mut expected = Expected::format(mounted.directory(), planted);
    for life in 1..=cuts {
        let checked = live_and_cut(&mounted, life, planted, &mut random, &mut expected);
        mounted.remount();
        report.cuts += 1;
        match checked.and_then(|()| expected.check(mounted.directory())) {
            Ok(acknowledged) => report.acknowledged += acknowledged,
            Err(violation) => {
                report.lose(format!("cut {life}: {violation}"));
                break;
            }
        }
    }
    Outcome::Ran(report)
}

/// Starts the writing process, shuts its file system down at a random point, and notes what it acknowledged.
fn live_and_cut(
    mounted: &Mounted,
    life: u64,
    planted: Planted,
    random: &mut SplitMix,
    expected: &mut Expected,
) -> Result<(), String> {
    expected.begin(life);
    // Once in a while the cut falls into the start.
    let cut_at = if random.one_in(8) { 0 } else { 1 + random.below(ACKNOWLEDGEMENTS_BEFORE_CUT_MAX) };
    let mut process = spawn(mounted.directory(), life, planted);
    let output = process.stdout.take().unwrap();
    if cut_at == 0 {
        mounted.shut_down();
    }
    let (mut read, mut cut) = (0, Instant::now());
    for line in BufReader::new(output).lines() {
        expected.acknowledged(&line.unwrap());
        read += 1;
        if read == cut_at {
            mounted.shut_down();
            cut = Instant::now();
        }
        if read > cut_at && cut.elapsed() > DEADLINE {
            process.kill().unwrap();
            process.wait().unwrap();
            return Err("the process went on without its file system".to_owned());
        }
    }
    let status = process.wait().unwrap();
    match status.code() {
        Some(EXIT_STORAGE_FAILED) => Ok(()),
        // A start refuses what it cannot read; the planted log has no such rules.
        Some(writer::EXIT_START_REFUSED) if cut_at == 0 => Ok(()),
        _ if planted == Planted::Sled => Ok(()),
        _ => Err(format!("the process ended with {status}, not with code {EXIT_STORAGE_FAILED}")),
    }
}

fn spawn(directory: &Path, life: u64, planted: Planted) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["write", "--life", &life.to_string(), "--planted", planted.name(), "--directory"]);
    command.arg(directory).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}
