//! One line of a scenario, cut into words and options; what nobody asked for is an error.

use std::collections::BTreeMap;

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

    pub(crate) fn number(&mut self, name: &str) -> u64 {
        let value = self.option(name).unwrap_or_else(|| panic!("`{}` lacks {name}=", self.text));
        self.parsed(name, &value)
    }

    pub(crate) fn number_or(&mut self, name: &str, default: u64) -> u64 {
        match self.option(name) {
            Some(value) => self.parsed(name, &value),
            None => default,
        }
    }

    fn parsed(&self, name: &str, value: &str) -> u64 {
        if value == "max" {
            return u64::MAX;
        }
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
