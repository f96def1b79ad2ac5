//! The rule book and the code name the same rules: headings `### R1 Name` in `docs/spec/rules.md` against the `Rule`
//! enum in `crates/core/src/rule.rs`, where each variant has a doc line starting with its number, then `1 Name,`.

use std::collections::BTreeMap;

use super::{Problem, SourceFile};

const BOOK: &str = "docs/spec/rules.md";
const CODE: &str = "crates/core/src/rule.rs";

/// A rule as one of the two files has it.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    line: usize,
    name: Option<String>,
}

type Entries = BTreeMap<u32, Entry>;

pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let find = |path: &str| files.iter().find(|file| file.path == path);
    match (find(BOOK), find(CODE)) {
        (Some(book), Some(code)) => compare(&book.text, &code.text),
        (book, _) => {
            let missing = if book.is_none() { BOOK } else { CODE };
            vec![Problem::new(
                missing,
                1,
                "the file is missing; the rules are compared between book and code",
            )]
        }
    }
}

fn compare(book: &str, code: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let in_book = read_book(book, &mut problems);
    let in_code = read_code(code, &mut problems);
    if in_code.is_empty() {
        problems.push(Problem::new(
            CODE,
            1,
            "no rule found; each variant needs a doc line `/// R<number> ...`",
        ));
    }
    for (number, entry) in &in_book {
        match in_code.get(number) {
            None => {
                let message = format!("R{number} is not in the code; add it to `Rule` or remove it here");
                problems.push(Problem::new(BOOK, entry.line, message));
            }
            Some(Entry { name: Some(code_name), .. }) if entry.name.as_ref() != Some(code_name) => {
                let shown = entry.name.as_deref().unwrap_or("nothing");
                let message = format!("R{number} is called {shown} here and {code_name} in the code");
                problems.push(Problem::new(BOOK, entry.line, message));
            }
            Some(_) => {}
        }
    }
    for (number, entry) in &in_code {
        if !in_book.contains_key(number) {
            let message = format!("R{number} is not in the rule book; describe it in {BOOK}");
            problems.push(Problem::new(CODE, entry.line, message));
        }
    }
    problems
}

fn read_book(book: &str, problems: &mut Vec<Problem>) -> Entries {
    let mut entries = Entries::new();
    for (index, line) in book.lines().enumerate() {
        let Some(heading) = line.strip_prefix("### R") else { continue };
        let mut words = heading.split_whitespace();
        let number = words.next().and_then(|word| word.trim_end_matches([':', '.']).parse().ok());
        let Some(number) = number else { continue };
        let name = words.map(|word| word.trim_matches(['`', ':', '(', ')'])).find(|word| !word.is_empty());
        let entry = Entry { line: index + 1, name: name.map(str::to_owned) };
        if entries.insert(number, entry).is_some() {
            problems.push(Problem::new(BOOK, index + 1, format!("R{number} is described twice")));
        }
    }
    entries
}

fn read_code(code: &str, problems: &mut Vec<Problem>) -> Entries {
    let mut entries = Entries::new();
    let mut lines = code.lines().enumerate().map(|(index, line)| (index + 1, line.trim())).peekable();
    while let Some((line, text)) = lines.next() {
        let Some(number) = text.strip_prefix("/// R").and_then(leading_number) else { continue };
        // The variant follows its doc lines and attributes.
        while lines.next_if(|(_, next)| next.starts_with("///") || next.starts_with("#[")).is_some() {}
        let variant = lines.peek().map_or("", |(_, next)| next);
        let stated = leading_number(variant);
        if stated.is_some_and(|stated| stated != number) {
            let message = format!("the comment says R{number}, the variant says {variant}");
            problems.push(Problem::new(CODE, line, message));
        }
        let name = variant.trim_start_matches(|c: char| c.is_ascii_digit() || c.is_whitespace());
        let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
        let entry = Entry { line, name: (!name.is_empty()).then_some(name) };
        if entries.insert(number, entry).is_some() {
            problems.push(Problem::new(CODE, line, format!("R{number} is used twice")));
        }
    }
    entries
}

fn leading_number(text: &str) -> Option<u32> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOK_TEXT: &str = "# Rules\n\n### R1 KeyKnown\ntext\n\n### R2 HolderMatches\n";
    const CODE_TEXT: &str =
        "rules! {\n  /// R1 Known.\n  /// More.\n  1 KeyKnown,\n  /// R2 Holder.\n  2 HolderMatches,\n}\n";

    fn found(book: &str, code: &str) -> Vec<String> {
        compare(book, code).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn equal_lists_pass() {
        assert_eq!(found(BOOK_TEXT, CODE_TEXT), [""; 0]);
    }

    #[test]
    fn a_plain_enum_is_read_too() {
        let code = "enum Rule {\n  /// R1 Known.\n  #[n(1)]\n  KeyKnown,\n  /// R2 Holder.\n  HolderMatches = 2,\n}\n";
        assert_eq!(found(BOOK_TEXT, code), [""; 0]);
    }

    #[test]
    fn every_difference_is_reported_where_it_is() {
        let without = BOOK_TEXT.replace("### R2 HolderMatches\n", "");
        assert!(
            found(&without, CODE_TEXT)[0]
                .starts_with("crates/core/src/rule.rs:5: R2 is not in the rule book")
        );
        let more = format!("{BOOK_TEXT}\n### R3 Extra\n");
        assert!(found(&more, CODE_TEXT)[0].starts_with("docs/spec/rules.md:8: R3 is not in the code"));
        let renamed = BOOK_TEXT.replace("KeyKnown", "KeyExists");
        assert!(
            found(&renamed, CODE_TEXT)[0].contains("R1 is called KeyExists here and KeyKnown in the code")
        );
        let twice = format!("{BOOK_TEXT}\n### R2 HolderMatches\n");
        assert!(found(&twice, CODE_TEXT)[0].contains("R2 is described twice"));
        let wrong = CODE_TEXT.replace("2 HolderMatches", "3 HolderMatches");
        assert!(
            found(BOOK_TEXT, &wrong)[0].contains("the comment says R2, the variant says 3 HolderMatches,")
        );
        assert!(found(BOOK_TEXT, "").iter().any(|problem| problem.contains("no rule found")));
    }
}
