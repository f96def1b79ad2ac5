//! What a single text file must and must not contain: header, leftovers, machine paths, white space, line length.

use std::io;
use std::path::Path;

use super::{Problem, SourceFile};
use crate::Outcome;

/// Files that are read at all, by the end of their names.
const TEXT_FILES: [&str; 9] = [".rs", ".toml", ".md", ".proto", ".yml", ".yaml", ".sh", ".txt", ".ci/run"];
/// Directories that hold nothing of ours.
const SKIPPED: [&str; 2] = ["target", ".git"];
/// Longest line of a Rust file, in characters.
const LINE_CHARACTERS_MAX: usize = 120;
/// The same for a line with a string literal: a message broken in two can no longer be searched for.
const LITERAL_LINE_CHARACTERS_MAX: usize = 150;

/// Strings that may not be committed, with what to do. Written in two halves so that this file does not contain them.
const BANNED: [(&str, &str); 10] = [
    (concat!("dbg", "!("), "remove the debugging aid"),
    (concat!("todo", "!("), "write it, or leave it out"),
    (concat!("unimplemented", "!("), "write it, or leave it out"),
    (concat!("FIX", "ME"), "mend it"),
    (concat!("XX", "X"), "mend it"),
    (concat!("#[", "ignore"), "make the test run or remove it"),
    (concat!("/wo", "rk/"), "a path of one machine; make it relative"),
    (concat!("/ro", "ot/"), "a path of one machine; make it relative"),
    (concat!("/ho", "me/"), "a path of one machine; make it relative"),
    (concat!("/tm", "p/"), "a path of one machine; use a temporary directory"),
];

/// Reads every text file below `root`, in a stable order.
pub(super) fn read_files(root: &Path) -> Outcome<Vec<SourceFile>> {
    let mut files = Vec::new();
    collect(root, root, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<SourceFile>) -> Outcome<()> {
    let describe = |error: io::Error, path: &Path| format!("{}: {error}", path.display());
    for entry in std::fs::read_dir(directory).map_err(|error| describe(error, directory))? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                collect(root, &path, files)?;
            }
            continue;
        }
        let relative = path.strip_prefix(root)?.to_string_lossy().into_owned();
        if TEXT_FILES.iter().any(|end| relative.ends_with(end)) {
            let text = std::fs::read_to_string(&path).map_err(|error| describe(error, &path))?;
            files.push(SourceFile { path: relative, text });
        }
    }
    Ok(())
}

pub(super) fn check(file: &SourceFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |line, message: String| problems.push(Problem::new(&file.path, line, message));
    let is_rust = file.path.ends_with(".rs");
    if is_rust && !file.text.starts_with("//! ") {
        report(1, "start the file with a `//!` line: what lives here and what may not".to_owned());
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        report(file.text.lines().count(), "end the last line".to_owned());
    }
    for (index, line) in file.text.lines().enumerate() {
        let number = index + 1;
        // What a program printed is kept as it was.
        let is_recorded = file.path.contains("/golden/");
        if !is_recorded && line.ends_with([' ', '\t', '\r']) {
            report(number, "remove the white space at the end of the line".to_owned());
        }
        let length = line.chars().count();
        let has_literal = line.contains('"') && !line.trim_start().starts_with("//");
        let max = if has_literal { LITERAL_LINE_CHARACTERS_MAX } else { LINE_CHARACTERS_MAX };
        if is_rust && length > max {
            report(number, format!("{length} characters, the limit is {max}; break the line"));
        }
        for (banned, advice) in BANNED {
            if line.contains(banned) {
                report(number, format!("`{banned}`: {advice}"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        check(&file).into_iter().map(|problem| (problem.line, problem.message)).collect()
    }

    fn only(path: &str, text: &str) -> (usize, String) {
        let found = found(path, text);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    #[test]
    fn good_files_pass() {
        assert_eq!(found("a.rs", "//! Header.\n\nfn f() {}\n"), []);
        assert_eq!(found("a.md", &format!("{}\n", "long ".repeat(40).trim_end())), []);
    }

    #[test]
    fn each_bad_sample_is_flagged() {
        assert!(only("a.rs", "fn f() {}\n").1.contains("start the file"));
        assert!(only("a.rs", "//! Header.").1.contains("end the last line"));
        assert_eq!(only("a.md", "good\nbad \n").0, 2);
        assert_eq!(found("tests/golden/a.txt", "bad \n"), []);
        let long = format!("//! Header.\n// {}\n", "x".repeat(118));
        assert_eq!(only("a.rs", &long), (2, "121 characters, the limit is 120; break the line".to_owned()));
    }

    #[test]
    fn a_message_may_be_longer_but_not_without_end() {
        let with = |length: usize| format!("//! Header.\nf(\"{}\");\n", "x".repeat(length - 6));
        assert_eq!(found("a.rs", &with(150)), []);
        assert_eq!(only("a.rs", &with(151)).1, "151 characters, the limit is 150; break the line");
    }

    #[test]
    fn every_banned_string_is_flagged_anywhere() {
        for (banned, advice) in BANNED {
            for path in ["a.rs", "b.md", "c.toml"] {
                let (line, message) = only(path, &format!("//! Header.\n// x {banned} y\n"));
                assert_eq!((line, message), (2, format!("`{banned}`: {advice}")));
            }
        }
    }
}
