//! Small helpers over `serde_json::Value` that name the missing or wrong field instead of guessing a default.

use serde_json::Value;

/// A JSON document lacks something or carries it in another shape.
#[derive(Debug, thiserror::Error)]
#[error("expected {expected} at {pointer} in {document}")]
pub struct JsonError {
    expected: &'static str,
    pointer: String,
    document: String,
}

/// Most characters of a document that an error shows.
const SHOWN_CHARACTERS: usize = 600;

fn error(document: &Value, pointer: &str, expected: &'static str) -> JsonError {
    let document = document.to_string().chars().take(SHOWN_CHARACTERS).collect();
    JsonError { expected, pointer: pointer.to_owned(), document }
}

/// The string at `pointer` (RFC 6901).
pub fn text<'a>(document: &'a Value, pointer: &str) -> Result<&'a str, JsonError> {
    document.pointer(pointer).and_then(Value::as_str).ok_or_else(|| error(document, pointer, "a string"))
}

/// The unsigned number at `pointer`; CometBFT writes 64-bit numbers as strings, so both forms are read.
pub fn number(document: &Value, pointer: &str) -> Result<u64, JsonError> {
    let found = match document.pointer(pointer) {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    found.ok_or_else(|| error(document, pointer, "an unsigned number"))
}

/// The truth value at `pointer`.
pub fn truth(document: &Value, pointer: &str) -> Result<bool, JsonError> {
    document
        .pointer(pointer)
        .and_then(Value::as_bool)
        .ok_or_else(|| error(document, pointer, "true or false"))
}

/// The array at `pointer`.
pub fn array<'a>(document: &'a Value, pointer: &str) -> Result<&'a Vec<Value>, JsonError> {
    document.pointer(pointer).and_then(Value::as_array).ok_or_else(|| error(document, pointer, "an array"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_come_in_two_forms_and_absence_is_an_error() {
        let document = json!({"a": {"height": "12", "round": 3, "bad": "1x"}});
        assert_eq!(number(&document, "/a/height").unwrap(), 12);
        assert_eq!(number(&document, "/a/round").unwrap(), 3);
        assert!(number(&document, "/a/bad").is_err());
        let error = number(&document, "/a/missing").unwrap_err().to_string();
        assert!(error.starts_with("expected an unsigned number at /a/missing in {"), "{error}");
    }
}
