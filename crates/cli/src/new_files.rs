//! Files that come into being whole, all together, and never in place of another.
//!
//! For certificates and their keys, whose loss costs a new certificate. State that signing depends on is written by
//! the `disk` crate only.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file to create.
pub(crate) struct NewFile<'a> {
    pub(crate) path: PathBuf,
    /// Permission bits, before the umask.
    pub(crate) mode: u32,
    pub(crate) text: &'a str,
}

/// Why no file was created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NewFileError {
    #[error("{} exists already", path.display())]
    Exists { path: PathBuf },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Creates all files, or none. All lie in `directory`.
pub(crate) fn create_all(directory: &Path, files: &[NewFile<'_>]) -> Result<(), NewFileError> {
    if let Some(file) = files.iter().find(|file| file.path.symlink_metadata().is_ok()) {
        return Err(NewFileError::Exists { path: file.path.clone() });
    }
    let mut created: Vec<&Path> = Vec::new();
    for file in files {
        if let Err(error) = create(file) {
            for path in created {
                // The error below is what matters; a leftover shows up as "exists already" at the next try.
                let _best_effort = std::fs::remove_file(path);
            }
            return Err(error);
        }
        created.push(&file.path);
    }
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| NewFileError::Write { path: directory.to_owned(), source })
}

fn create(file: &NewFile<'_>) -> Result<(), NewFileError> {
    let mut draft = file.path.clone().into_os_string();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    let result = write_draft(&draft, file).and_then(|()| {
        // A link, not a rename: it fails when the name is taken meanwhile.
        std::fs::hard_link(&draft, &file.path)
    });
    let _best_effort = std::fs::remove_file(&draft);
    result.map_err(|source| {
        let path = file.path.clone();
        if source.kind() == io::ErrorKind::AlreadyExists {
            NewFileError::Exists { path }
        } else {
            NewFileError::Write { path, source }
        }
    })
}

fn write_draft(draft: &Path, file: &NewFile<'_>) -> io::Result<()> {
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(file.mode).open(draft)?;
    opened.write_all(file.text.as_bytes())?;
    opened.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: PathBuf) -> NewFile<'static> {
        NewFile { path, mode: 0o600, text: "new" }
    }

    #[test]
    fn one_existing_file_prevents_all() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (directory.path().join("first"), directory.path().join("second"));
        std::fs::write(&second, "old").unwrap();
        let result = create_all(directory.path(), &[file(first.clone()), file(second.clone())]);
        assert!(matches!(result, Err(NewFileError::Exists { path }) if path == second));
        assert!(!first.exists());
        assert_eq!(std::fs::read_to_string(&second).unwrap(), "old");
    }

    #[test]
    fn nothing_but_the_files_is_left() {
        let directory = tempfile::tempdir().unwrap();
        create_all(directory.path(), &[file(directory.path().join("only"))]).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["only"]);
    }
}
