//! The files that describe planted bugs: a name, what it breaks, and exact replacements.
//!
//! ```text
//! bug: the epoch of an approval is not checked
//! why: S3; an old lease signs again
//! file: crates/core/src/lease.rs
//! <<<
//! old lines
//! ===
//! new lines
//! >>>
//! ```
//!
//! `neutral:` instead of `bug:` begins a change that must survive. `file:` and a replacement may come several times.

use crate::Outcome;
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bug,
    Neutral,
}

/// One replacement in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hunk {
    pub(super) file: String,
    pub(super) old: String,
    pub(super) new: String,
}

/// One planted change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plant {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) why: String,
    pub(super) hunks: Vec<Hunk>,
}

/// Reads all of a directory, in the order of their names.
pub(super) fn load(directory: &Path) -> Outcome<Vec<Plant>> {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut plants = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        plants.push(parse(&text).map_err(|error| format!("{}: {error}", file.display()))?);
    }
    if plants.is_empty() {
        return Err(format!("{} holds no planted bugs", directory.display()).into());
    }
    Ok(plants)
}

fn parse(text: &str) -> Result<Plant, String> {
    let (mut head, mut why, mut file) = (None, None, None);
    let mut hunks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("bug: ") {
            head = Some((name.to_owned(), Kind::Bug));
        } else if let Some(name) = line.strip_prefix("neutral: ") {
            head = Some((name.to_owned(), Kind::Neutral));
        } else if let Some(text) = line.strip_prefix("why: ") {
            why = Some(text.to_owned());
        } else if let Some(path) = line.strip_prefix("file: ") {
            file = Some(path.to_owned());
        } else if line == "<<<" {
            let old = until(&mut lines, "===")?;
            let new = until(&mut lines, ">>>")?;
            let file = file.clone().ok_or("a replacement comes before its file:")?;
            hunks.push(Hunk { file, old, new });
        } else if !line.is_empty() {
            return Err(format!("{line:?} is none of bug:, neutral:, why:, file:, <<<"));
        }
    }
    let (name, kind) = head.ok_or("there is no bug: or neutral: line")?;
    let why = why.ok_or("there is no why: line")?;
    if hunks.is_empty() {
        return Err("there is no replacement".to_owned());
    }
    Ok(Plant { name, kind, why, hunks })
}

fn until<'a>(lines: &mut impl Iterator<Item = &'a str>, end: &str) -> Result<String, String> {
    let mut text = String::new();
    for line in lines {
        if line == end {
            return Ok(text);
        }
        text.push_str(line);
        text.push('\n');
    }
    Err(format!("{end} is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plant_has_a_name_a_reason_and_replacements() {
        let plant =
            parse("bug: a\nwhy: S1\n\nfile: f.rs\n<<<\nold\n===\n>>>\n<<<\nx\n===\ny\n>>>\n").unwrap();
        assert_eq!((plant.name.as_str(), plant.kind, plant.why.as_str()), ("a", Kind::Bug, "S1"));
        let hunk =
            |old: &str, new: &str| Hunk { file: "f.rs".to_owned(), old: old.to_owned(), new: new.to_owned() };
        assert_eq!(plant.hunks, [hunk("old\n", ""), hunk("x\n", "y\n")]);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(parse("why: S1\n").unwrap_err(), "there is no bug: or neutral: line");
        assert_eq!(parse("bug: a\n").unwrap_err(), "there is no why: line");
        assert_eq!(parse("bug: a\nwhy: b\n").unwrap_err(), "there is no replacement");
        assert_eq!(parse("<<<\n===\n>>>\n").unwrap_err(), "a replacement comes before its file:");
        assert_eq!(parse("file: f\n<<<\nx\n").unwrap_err(), "=== is missing");
        assert!(parse("nonsense\n").unwrap_err().starts_with("\"nonsense\" is none of"));
    }
}
