//! Reading configuration files, with errors that name the file, the field and what to do.
//!
//! May not live here: what the fields mean. Their types belong to the crates that use them.

use crate::codes::{self, Code};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Far above any real configuration; a path given by mistake must not fill the memory.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the configuration {} is larger than {MAX_CONFIG_BYTES} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("{}: {problem}", path.display())]
    Wrong { path: PathBuf, problem: String },
    #[error("{}: {field}: the directory {} does not exist", path.display(), directory.display())]
    DirectoryMissing { path: PathBuf, field: &'static str, directory: PathBuf },
    #[error("{}: {field}: {} is not a directory", path.display(), directory.display())]
    NotADirectory { path: PathBuf, field: &'static str, directory: PathBuf },
    #[error("{}: {field}: cannot read {}: {source}", path.display(), file.display())]
    FileMissing { path: PathBuf, field: &'static str, file: PathBuf, source: io::Error },
}

impl ConfigError {
    pub(crate) fn code(&self) -> &'static Code {
        match self {
            Self::Unreadable { .. } => &codes::CONFIG_UNREADABLE,
            Self::TooLarge { .. } | Self::Wrong { .. } => &codes::CONFIG_WRONG,
            Self::DirectoryMissing { .. } | Self::NotADirectory { .. } => &codes::DIRECTORY_MISSING,
            Self::FileMissing { .. } => &codes::FILE_MISSING,
        }
    }
}

/// A configuration file that was read; checks what its fields point at.
pub(crate) struct ConfigFile {
    path: PathBuf,
}

impl ConfigFile {
    /// Reads and parses `path`.
    pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<(Self, T), ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_CONFIG_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MAX_CONFIG_BYTES {
            return Err(ConfigError::TooLarge { path: path.to_owned() });
        }
        let value = toml::from_str(&text).map_err(|error| ConfigError::Wrong {
            path: path.to_owned(),
            problem: describe(&text, &error),
        })?;
        Ok((Self { path: path.to_owned() }, value))
    }

    /// Where the file lies: relative paths inside a configuration start here.
    pub(crate) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Makes a path of the configuration one that can be opened.
    pub(crate) fn resolve(&self, field: &mut PathBuf) {
        *field = self.directory().join(&*field);
    }

    /// An error about the values of this file.
    pub(crate) fn wrong(&self, problem: String) -> ConfigError {
        ConfigError::Wrong { path: self.path.clone(), problem }
    }

    /// The directory must be there already: creating it by accident would be to forget what the real one holds.
    pub(crate) fn require_directory(&self, field: &'static str, directory: &Path) -> Result<(), ConfigError> {
        let path = || self.path.clone();
        let directory = || directory.to_owned();
        match std::fs::metadata(directory()) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(ConfigError::NotADirectory { path: path(), field, directory: directory() }),
            Err(_) => Err(ConfigError::DirectoryMissing { path: path(), field, directory: directory() }),
        }
    }

    /// The directory may be new, but the one that holds it must exist: an unmounted disk is not an empty one.
    pub(crate) fn require_parent(&self, field: &'static str, directory: &Path) -> Result<(), ConfigError> {
        match directory.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.require_directory(field, parent),
            _ => Ok(()),
        }
    }

    /// The file must be there and readable.
    pub(crate) fn require_file(&self, field: &'static str, file: &Path) -> Result<(), ConfigError> {
        let missing = |source| ConfigError::FileMissing {
            path: self.path.clone(),
            field,
            file: file.to_owned(),
            source,
        };
        File::open(file).and_then(|opened| opened.metadata()).map_err(missing).and_then(|found| {
            if found.is_dir() { Err(missing(io::Error::from(io::ErrorKind::IsADirectory))) } else { Ok(()) }
        })
    }
}

/// `line 3, data_dir: invalid type ...`: on one line, unlike the parser's own drawing.
fn describe(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim_end().replace('\n', "; ");
    match error.span() {
        Some(span) => {
            let number = text[..span.start.min(text.len())].matches('\n').count() + 1;
            let line = text.lines().nth(number - 1).unwrap_or_default();
            match line.split_once('=') {
                Some((field, _)) => format!("line {number}, {}: {message}", field.trim()),
                None => format!("line {number}: {message}"),
            }
        }
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code)]
        data_dir: PathBuf,
    }

    fn problem(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        ConfigFile::read::<Sample>(&path).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        let message = problem("data_dir = \"d\"\ndata_dri = \"x\"\n");
        assert!(message.contains("node.toml: line 2, data_dri: unknown field `data_dri`"), "{message}");
    }

    #[test]
    fn a_missing_field_and_a_wrong_type_are_named() {
        assert!(problem("").contains("missing field `data_dir`"));
        assert!(problem("data_dir = 3").contains("line 1, data_dir: invalid type"));
    }

    #[test]
    fn a_relative_path_starts_at_the_file() {
        let file = ConfigFile { path: PathBuf::from("etc/node.toml") };
        let mut relative = PathBuf::from("ca.pem");
        let mut absolute = PathBuf::from("/srv/ca.pem");
        file.resolve(&mut relative);
        file.resolve(&mut absolute);
        assert_eq!((relative, absolute), (PathBuf::from("etc/ca.pem"), PathBuf::from("/srv/ca.pem")));
    }
}
