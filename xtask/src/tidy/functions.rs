//! Finds every function with a body and its length in lines, on masked source.

/// A function and how long it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// Line of `fn`, from 1.
    pub(super) line: usize,
    /// Lines from `fn` to the closing brace.
    pub(super) length: usize,
}

/// The functions of masked source, in order.
pub(super) fn functions(masked: &str) -> Vec<Function> {
    let characters: Vec<char> = masked.chars().collect();
    let mut found = Vec::new();
    let mut line = 1;
    for at in 0..characters.len() {
        if characters[at] == '\n' {
            line += 1;
        }
        if let Some((name, lines)) = function_at(&characters, at) {
            found.push(Function { name, line, length: lines });
        }
    }
    found
}

fn function_at(characters: &[char], at: usize) -> Option<(String, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    if characters.get(at..at + 2) != Some(&['f', 'n']) {
        return None;
    }
    let starts_word = at == 0 || !(is_word(characters[at - 1]) || characters[at - 1] == '#');
    if !starts_word || characters.get(at + 2).is_none_or(|c| !c.is_whitespace()) {
        return None;
    }
    let rest = &characters[at + 2..];
    let name: String = rest.iter().skip_while(|c| c.is_whitespace()).take_while(|c| is_word(**c)).collect();
    let length = body_end(rest)?;
    let lines = 1 + rest[..length].iter().filter(|c| **c == '\n').count();
    (!name.is_empty()).then_some((name, lines))
}

/// Offset just past the body's closing brace; `None` for a declaration without a body.
fn body_end(rest: &[char]) -> Option<usize> {
    let (mut nesting, mut braces) = (0_i32, 0_i32);
    for (at, character) in rest.iter().enumerate() {
        match character {
            '(' | '[' if braces == 0 => nesting += 1,
            ')' | ']' if braces == 0 => nesting -= 1,
            ';' if braces == 0 && nesting == 0 => return None,
            '{' if nesting == 0 => braces += 1,
            '}' if nesting == 0 => braces -= 1,
            _ => continue,
        }
        // A brace that closes what we never opened: this `fn` was a type, as in `field: fn (u8)`.
        if braces < 0 || nesting < 0 {
            return None;
        }
        if *character == '}' && braces == 0 && nesting == 0 {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::masked::mask;
    use super::*;

    fn found(source: &str) -> Vec<(String, usize, usize)> {
        functions(&mask(source)).into_iter().map(|f| (f.name, f.line, f.length)).collect()
    }

    #[test]
    fn lengths_run_from_the_keyword_to_the_closing_brace() {
        let source = "\nfn a(x: [u8; 4]) -> u8 {\n  if x { \"}\" }\n}\n\
            trait T {\n  fn no_body(&self);\n  fn b() {}\n}\n";
        let expected = [("a", 2, 3), ("b", 7, 1)].map(|(name, line, length)| (name.to_owned(), line, length));
        assert_eq!(found(source), expected);
    }

    #[test]
    fn nested_functions_and_signatures_over_lines_are_counted() {
        let source = "pub async fn outer<F>(\n  f: F,\n) where F: Fn(u8) {\n  fn inner() {\n  }\n}\n";
        let expected =
            [("outer", 1, 6), ("inner", 4, 2)].map(|(name, line, length)| (name.to_owned(), line, length));
        assert_eq!(found(source), expected);
    }
}
