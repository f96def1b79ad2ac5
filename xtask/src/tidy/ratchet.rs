//! Length limits, with a list of exceptions that may only shrink.
//!
//! `xtask/tidy-ratchet.txt` holds one exception a line: `<path> fn <name> <lines>` or `<path> file <lines>`, where the
//! number is the length now. Longer is an error, and so is shorter: the list is then lowered or the line removed.

use std::collections::BTreeMap;

use super::functions::functions;
use super::masked::mask;
use super::{Problem, SourceFile};

/// Longest function.
const FUNCTION_LINES_MAX: usize = 70;
/// Longest file.
const FILE_LINES_MAX: usize = 500;
const RATCHET: &str = "xtask/tidy-ratchet.txt";

/// What is measured: a file, or a function of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    path: String,
    function: Option<String>,
}

struct Measured {
    line: usize,
    length: usize,
}

pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let list = files.iter().find(|file| file.path == RATCHET).map_or("", |file| file.text.as_str());
    let (exceptions, mut problems) = read_list(list);
    let measured = measure(files);
    for (subject, measured) in &measured {
        problems.extend(judge(subject, measured, exceptions.get(subject)));
    }
    for (subject, (line, _)) in &exceptions {
        if !measured.contains_key(subject) {
            problems.push(Problem::new(RATCHET, *line, "nothing of this name exists; remove the line"));
        }
    }
    problems
}

fn judge(subject: &Subject, measured: &Measured, exception: Option<&(usize, usize)>) -> Option<Problem> {
    let Measured { line, length } = *measured;
    let (what, max) = match &subject.function {
        Some(name) => (format!("function {name}"), FUNCTION_LINES_MAX),
        None => ("file".to_owned(), FILE_LINES_MAX),
    };
    match exception {
        None if length > max => {
            let message = format!("{what} has {length} lines, the limit is {max}; split it");
            Some(Problem::new(&subject.path, line, message))
        }
        Some((_, allowed)) if length > *allowed => {
            let message =
                format!("{what} grew from {allowed} to {length} lines; an exception may only shrink");
            Some(Problem::new(&subject.path, line, message))
        }
        Some((entry, _)) if length <= max => {
            let message = format!("{what} of {} has {length} lines now; remove the line", subject.path);
            Some(Problem::new(RATCHET, *entry, message))
        }
        Some((entry, allowed)) if length < *allowed => {
            let message = format!("{what} of {} shrank; lower {allowed} to {length}", subject.path);
            Some(Problem::new(RATCHET, *entry, message))
        }
        _ => None,
    }
}

fn measure(files: &[SourceFile]) -> BTreeMap<Subject, Measured> {
    let mut measured = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        let subject = Subject { path: file.path.clone(), function: None };
        measured.insert(subject, Measured { line: 1, length: file.text.lines().count() });
        for function in functions(&mask(&file.text)) {
            let subject = Subject { path: file.path.clone(), function: Some(function.name) };
            let (line, length) = (function.line, function.length);
            // Of functions with one name in one file, the longest counts.
            let longest = measured.entry(subject).or_insert(Measured { line, length });
            if length > longest.length {
                *longest = Measured { line, length };
            }
        }
    }
    measured
}

/// Exceptions with their line in the list and the allowed length.
fn read_list(list: &str) -> (BTreeMap<Subject, (usize, usize)>, Vec<Problem>) {
    let mut exceptions = BTreeMap::new();
    let mut problems = Vec::new();
    for (index, line) in list.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let entry = match words.as_slice() {
            [] | ["#", ..] => continue,
            [path, "fn", name, lines] => lines.parse().ok().map(|lines: usize| (*path, Some(*name), lines)),
            [path, "file", lines] => lines.parse().ok().map(|lines| (*path, None, lines)),
            _ => None,
        };
        let Some((path, function, lines)) = entry else {
            let message = "not an exception: write `<path> fn <name> <lines>` or `<path> file <lines>`";
            problems.push(Problem::new(RATCHET, index + 1, message));
            continue;
        };
        let subject = Subject { path: path.to_owned(), function: function.map(str::to_owned) };
        exceptions.insert(subject, (index + 1, lines));
    }
    (exceptions, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Problems of one file with a function `f` of `length` lines, under the exceptions `list`.
    fn problems(length: usize, list: &str) -> Vec<String> {
        let body = "    x();\n".repeat(length - 2);
        let text = format!("fn f() {{\n{body}}}\n");
        let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
        let files = [file("a.rs", &text), file(RATCHET, list)];
        check(&files).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn lengths_are_limited() {
        assert_eq!(problems(70, ""), [""; 0]);
        assert_eq!(problems(71, ""), ["a.rs:1: function f has 71 lines, the limit is 70; split it"]);
        let both = problems(501, "");
        assert_eq!(both.len(), 2, "{both:?}");
        assert!(both[0].contains("file has 501 lines, the limit is 500"), "{both:?}");
    }

    #[test]
    fn an_exception_holds_at_its_length_and_may_only_shrink() {
        assert_eq!(problems(80, "a.rs fn f 80"), [""; 0]);
        assert!(problems(81, "a.rs fn f 80")[0].starts_with("a.rs:1: function f grew from 80 to 81 lines"));
        assert!(
            problems(79, "\na.rs fn f 80")[0].ends_with("txt:2: function f of a.rs shrank; lower 80 to 79")
        );
        assert!(problems(60, "a.rs fn f 80")[0].ends_with("has 60 lines now; remove the line"));
    }

    #[test]
    fn a_dead_or_unreadable_exception_is_reported() {
        assert!(problems(10, "b.rs fn g 80")[0].contains("nothing of this name exists"));
        assert!(problems(10, "# comment\na.rs fn f many")[0].contains("txt:2: not an exception"));
    }
}
