//! A copy of the sources to plant in, so that the sources themselves never hold a bug, and its own build directory,
//! so that a binary with a bug never lies where another build could find it.

use super::plant::Plant;
use crate::{Outcome, workspace_root};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The copy.
pub(super) struct Tree {
    root: PathBuf,
    target: PathBuf,
}

/// A bug in the copy, until it is removed.
pub(super) struct Planted {
    originals: Vec<(PathBuf, String)>,
}

impl Tree {
    /// Copies every file that git knows, as it is now. A file that did not change keeps its time, so that only what
    /// changed is built again.
    pub(super) fn copy() -> Outcome<Self> {
        let source = workspace_root();
        let base = source.join("target/mutation");
        let (root, target) = (base.join("sources"), base.join("build"));
        let files = tracked(&source)?;
        remove_others(&root, &root, &files)?;
        for file in files {
            let (from, to) = (source.join(&file), root.join(&file));
            let contents = match std::fs::read(&from) {
                Ok(contents) => contents,
                // Removed and not committed yet.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("{file}: {error}").into()),
            };
            if std::fs::read(&to).is_ok_and(|present| present == contents) {
                continue;
            }
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&to, contents)?;
        }
        Ok(Self { root, target })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Replaces the plant's text, which must be there exactly once.
    pub(super) fn plant(&self, plant: &Plant) -> Outcome<Planted> {
        let mut originals: Vec<(PathBuf, String)> = Vec::new();
        let mut changed: Vec<(PathBuf, String)> = Vec::new();
        for hunk in &plant.hunks {
            let path = self.root.join(&hunk.file);
            let before = match changed.iter().find(|(file, _)| *file == path) {
                Some((_, text)) => text.clone(),
                None => std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", hunk.file))?,
            };
            let found = before.matches(&hunk.old).count();
            if found != 1 {
                let name = &plant.name;
                return Err(format!(
                    "{name}: its text is {found} times in {}, not once:\n{}",
                    hunk.file, hunk.old
                )
                .into());
            }
            let after = before.replacen(&hunk.old, &hunk.new, 1);
            match changed.iter_mut().find(|(file, _)| *file == path) {
                Some((_, text)) => *text = after,
                None => {
                    originals.push((path.clone(), before));
                    changed.push((path, after));
                }
            }
        }
        for (path, text) in changed {
            std::fs::write(path, text)?;
        }
        Ok(Planted { originals })
    }
}

impl Planted {
    pub(super) fn remove(self) -> Outcome<()> {
        for (path, text) in self.originals {
            std::fs::write(path, text)?;
        }
        Ok(())
    }
}

/// A test that was removed must not run in the copy.
fn remove_others(root: &Path, directory: &Path, files: &BTreeSet<String>) -> Outcome<()> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(root, &path, files)?;
        } else if !path.strip_prefix(root)?.to_str().is_some_and(|name| files.contains(name)) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn tracked(source: &Path) -> Outcome<BTreeSet<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(source)
        .output()?;
    if !output.status.success() {
        return Err("git ls-files failed: planting needs a git checkout".into());
    }
    let names = String::from_utf8(output.stdout)?;
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}
