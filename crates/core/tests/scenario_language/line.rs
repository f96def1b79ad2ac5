//! One line of a scenario, cut into words and options; what nobody asked for is an error.

use std::collections::BTreeMap;
use std::str::FromStr;

pub(crate) struct Line {
    text: String,
    words: Vec<String>,
    options: BTreeMap<String, String>,
}

impl Line {
    pub(crate) fn parse(text: &str) -> Self {
        let mut line = Self { text: text.to_owned(), words: Vec::new(), options: BTreeMap::new() };
        for part in text.split_whitespace() {
            match part.split_once('=') {
                Some((name, value)) => {
                    let before = line.options.insert(name.to_owned(), value.to_owned());
                    assert!(before.is_none(), "`{text}` gives {name} twice");
                }
                None => line.words.push(part.to_owned()),
            }
        }
        line.words.reverse();
        line
    }

    /// The next word that is not an option.
    pub(crate) fn word(&mut self, what: &str) -> String {
        self.words.pop().unwrap_or_else(|| panic!("`{}` lacks {what}", self.text))
    }

    pub(crate) fn option(&mut self, name: &str) -> Option<String> {
        self.options.remove(name)
    }

    pub(crate) fn text(&mut self, name: &str) -> String {
        self.option(name).unwrap_or_else(|| panic!("`{}` lacks {name}=", self.text))
    }

    pub(crate) fn number(&mut self, name: &str) -> u64 {
        self.number_option(name).unwrap_or_else(|| panic!("`{}` lacks {name}=", self.text))
    }

    pub(crate) fn number_or(&mut self, name: &str, default: u64) -> u64 {
        self.number_option(name).unwrap_or(default)
    }

    pub(crate) fn number_option(&mut self, name: &str) -> Option<u64> {
        let value = self.option(name)?;
        if value == "max" {
            return Some(u64::MAX);
        }
        Some(self.parsed(name, &value))
    }

    /// A number that its protocol keeps in 32 bits.
    pub(crate) fn small(&mut self, name: &str) -> u32 {
        let value = self.text(name);
        if value == "max" { u32::MAX } else { self.parsed(name, &value) }
    }

    /// `A/B/C`, exactly as many parts as asked for.
    pub(crate) fn parts<const N: usize>(&mut self, name: &str) -> Option<[String; N]> {
        let value = self.option(name)?;
        let parts: Vec<String> = value.split('/').map(str::to_owned).collect();
        Some(parts.try_into().unwrap_or_else(|_| panic!("`{}`: {name} has not {N} parts", self.text)))
    }

    pub(crate) fn parsed<T: FromStr>(&self, name: &str, value: &str) -> T {
        value.parse().unwrap_or_else(|_| panic!("`{}`: {name} is not a number", self.text))
    }

    /// Fails when something was not read: a misspelt option must not be silently ignored.
    pub(crate) fn finish(self) {
        assert!(
            self.words.is_empty() && self.options.is_empty(),
            "`{}` has more than the command takes: {:?} {:?}",
            self.text,
            self.words,
            self.options
        );
    }
}
