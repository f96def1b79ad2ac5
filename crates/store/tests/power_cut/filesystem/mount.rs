//! A file system in a file, on a loop device: made, mounted, shut down, mounted again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::arguments::Kind;

/// Sizes of the images; the files are sparse. xfs refuses smaller ones.
const IMAGE_BYTES: [(Kind, u64); 2] = [(Kind::Ext4, 192 * 1024 * 1024), (Kind::Xfs, 384 * 1024 * 1024)];

/// A mounted image. Dropping it unmounts and removes it.
#[derive(Debug)]
pub(super) struct Mounted {
    kind: Kind,
    image: PathBuf,
    directory: PathBuf,
    _root: TempDir,
}

impl Mounted {
    /// Makes and mounts an image. An error says what this machine lacks.
    pub(super) fn create(kind: Kind) -> Result<Mounted, String> {
        let root = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (image, directory) = (root.path().join("image"), root.path().join("mounted"));
        let size = IMAGE_BYTES.into_iter().find(|(known, _)| *known == kind).map_or(0, |(_, size)| size);
        let file = File::create_new(&image).map_err(|error| error.to_string())?;
        file.set_len(size).map_err(|error| error.to_string())?;
        std::fs::create_dir(&directory).map_err(|error| error.to_string())?;
        run(Command::new(format!("mkfs.{}", kind.name())).arg("-q").arg(&image))?;
        run(Command::new("xfs_io").arg("-V"))?;
        let mounted = Mounted { kind, image, directory, _root: root };
        mounted.mount()?;
        Ok(mounted)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn mount(&self) -> Result<(), String> {
        let mut mount = Command::new("mount");
        run(mount.args(["-t", self.kind.name(), "-o", "loop"]).arg(&self.image).arg(&self.directory))
    }

    fn unmount(&self) -> Result<(), String> {
        run(Command::new("umount").arg(&self.directory))
    }

    /// Cuts: nothing reaches the device any more, and the journal is not flushed.
    ///
    /// # Panics
    /// When the system refuses: a run without cuts proves nothing.
    pub(super) fn shut_down(&self) {
        // Without `-f` the command passes the flag "no log flush"; the request is the same on ext4.
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.directory)).unwrap();
    }

    /// Unmounts, and mounts what is on the device. Nobody may use the file system.
    ///
    /// # Panics
    /// When the file system itself does not survive.
    pub(super) fn remount(&mut self) {
        self.unmount().unwrap();
        self.mount().unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("power_cut: {} stays mounted: {error}", self.directory.display());
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} does not run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} ended with {}: {}", output.status, said.trim().replace('\n', "; ")))
}
