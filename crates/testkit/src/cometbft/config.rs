//! Sets values in a node's `config.toml` without disturbing the rest. A key that is not there is an error: a renamed
//! setting must not be ignored in silence.

/// The file has no such setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no setting {key} in section [{section}] of the node's config.toml")]
pub struct ConfigError {
    section: String,
    key: String,
}

/// Replaces the value of `key` in `[section]` (the empty section is the top of the file) by `value`, written as TOML.
pub fn set_value(text: &str, section: &str, key: &str, value: &str) -> Result<String, ConfigError> {
    let mut current = String::new();
    let mut found = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = header.to_owned();
        }
        let is_it = current == section && line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
        found |= is_it;
        lines.push(if is_it { format!("{key} = {value}") } else { line.to_owned() });
    }
    if !found {
        return Err(ConfigError { section: section.to_owned(), key: key.to_owned() });
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "laddr = \"a\"\n[rpc]\n# laddr = \"x\"\nladdr = \"b\"\n[p2p]\nladdr = \"c\"\n";

    #[test]
    fn only_the_named_section_changes() {
        let changed = set_value(TEXT, "rpc", "laddr", "\"z\"").unwrap();
        assert_eq!(changed, TEXT.replace("\"b\"", "\"z\""));
        assert_eq!(set_value(TEXT, "", "laddr", "1").unwrap(), TEXT.replacen("\"a\"", "1", 1));
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let error = set_value(TEXT, "rpc", "port", "1").unwrap_err();
        assert_eq!(error.to_string(), "no setting port in section [rpc] of the node's config.toml");
    }
}
