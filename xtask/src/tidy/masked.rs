//! Rust source with the contents of comments, strings and character literals blanked out, line by line as before, so
//! that a scanner can count braces without being misled.

/// Blanks everything that is not code. Every line keeps its number.
pub(super) fn mask(source: &str) -> String {
    let characters: Vec<char> = source.chars().collect();
    let mut masked = String::with_capacity(source.len());
    let mut at = 0;
    while at < characters.len() {
        let length = literal_length(&characters, at);
        if length == 0 {
            masked.push(characters[at]);
            at += 1;
            continue;
        }
        let end = (at + length).min(characters.len());
        masked.extend(characters[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    masked
}

/// Characters of the comment, string or character literal that starts at `at`; 0 when none does.
fn literal_length(all: &[char], at: usize) -> usize {
    let rest = &all[at..];
    match rest {
        ['/', '/', ..] => rest.iter().take_while(|c| **c != '\n').count(),
        ['/', '*', ..] => block_comment_length(rest),
        ['"', ..] => 1 + quoted_length(&rest[1..], '"'),
        ['r', '"' | '#', ..] if !in_word(all, at) => {
            raw_string_length(&rest[1..]).map_or(0, |length| 1 + length)
        }
        ['b', 'r', '"' | '#', ..] if !in_word(all, at) => {
            raw_string_length(&rest[2..]).map_or(0, |length| 2 + length)
        }
        ['\'', '\\', ..] => 1 + quoted_length(&rest[1..], '\''),
        // Anything else in quotes is a lifetime or a label.
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn in_word(all: &[char], at: usize) -> bool {
    at > 0 && (all[at - 1].is_alphanumeric() || all[at - 1] == '_')
}

fn quoted_length(rest: &[char], quote: char) -> usize {
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// Length of `#"..."#` with any number of hashes; `None` when it is a raw identifier.
fn raw_string_length(rest: &[char]) -> Option<usize> {
    let hashes = rest.iter().take_while(|c| **c == '#').count();
    if rest.get(hashes) != Some(&'"') {
        return None;
    }
    let mut at = hashes + 1;
    while at < rest.len() {
        let closing = rest[at + 1..].iter().take(hashes).take_while(|c| **c == '#').count();
        if rest[at] == '"' && closing == hashes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(at)
}

fn block_comment_length(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match (rest[at], rest.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_vanish_and_code_stays() {
        for (source, code) in [
            ("a(\"{\\\"{\") {", "a() {"),
            ("b('{', '\\'', '\\u{41}') {", "b(, , ) {"),
            ("c<'a>(x: &'a str) { // {", "c<'a>(x: &'a str) {"),
            ("d(r#\"{\"{\"#, br\"{\") {}", "d(, ) {}"),
            ("/* { /* { */ } */ e {", "e {"),
            ("r#fn {", "r#fn {"),
            ("for\"{\" {", "for {"),
        ] {
            let masked = mask(source);
            assert_eq!(masked.chars().count(), source.chars().count(), "{source}");
            let squeezed = |text: &str| text.replace(' ', "");
            assert_eq!(squeezed(&masked), squeezed(code), "{source}");
        }
    }

    #[test]
    fn lines_keep_their_numbers() {
        assert_eq!(mask("x\n\"a\nb\"\ny").lines().collect::<Vec<_>>(), ["x", "  ", "  ", "y"]);
    }
}
