//! The rule book by example: runs every file of `tests/scenarios/` and compares each verdict with the one in it.
//!
//! `INTERLOCK_REWRITE_SCENARIOS=1 cargo test -p interlock-core --test scenarios` writes the files anew from what the
//! code does, and then fails. Commit the difference only if you understand it: a changed verdict is a changed rule.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod scenario_language;

use interlock_core::Rule;
use scenario_language::World;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn scenario_files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "there are no scenario files");
    files
}

/// Runs one file; returns its text with the verdicts that the code gives, and the world that it made.
fn play(text: &str) -> (String, World) {
    let mut world = World::new();
    let mut played = String::new();
    let mut verdicts = Vec::new();
    let mut in_verdicts = false;
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            assert!(verdicts.is_empty(), "commands without `----` before {line:?}");
            in_verdicts = false;
        } else if line == "----" {
            in_verdicts = true;
            writeln!(played, "----\n{}", verdicts.join("\n")).unwrap();
            verdicts.clear();
            continue;
        } else if in_verdicts {
            continue;
        } else {
            verdicts.push(world.run(line));
        }
        writeln!(played, "{line}").unwrap();
    }
    assert!(verdicts.is_empty(), "the file ends in commands without `----`");
    world.replay();
    (played, world)
}

fn first_difference(written: &str, played: &str) -> String {
    let pairs = written.lines().zip(played.lines()).enumerate();
    let found = pairs.into_iter().find(|(_, (written, played))| written != played);
    found.map_or_else(
        || "the files differ in length".into(),
        |(index, (written, played))| {
            format!("line {}:\n  written: {written}\n  verdict: {played}", index + 1)
        },
    )
}

#[test]
fn every_scenario_gives_the_verdicts_written_in_it() {
    let rewrite = std::env::var_os("INTERLOCK_REWRITE_SCENARIOS").is_some();
    let mut failures = Vec::new();
    for file in scenario_files() {
        let written = std::fs::read_to_string(&file).unwrap();
        let (played, _) = play(&written);
        if played != written {
            failures.push(format!("{}: {}", file.display(), first_difference(&written, &played)));
            if rewrite {
                std::fs::write(&file, played).unwrap();
            }
        }
    }
    assert!(
        !rewrite,
        "rewritten: read the difference as a change of the rules, then run again without the variable"
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_rule_decides_in_some_scenario() {
    let mut hit = BTreeSet::new();
    for file in scenario_files() {
        hit.extend(play(&std::fs::read_to_string(&file).unwrap()).1.rules);
    }
    let missing: Vec<_> =
        Rule::ALL.iter().filter(|rule| !hit.contains(rule)).map(ToString::to_string).collect();
    assert!(missing.is_empty(), "rules without a scenario: {missing:?}");
}

/// Each probe repairs what the one before it was refused for, so the deciding rule only ever moves down the list.
#[test]
fn precedence_files_descend_through_the_rules() {
    let mut files = 0;
    for file in scenario_files() {
        if !file.file_name().unwrap().to_string_lossy().starts_with("precedence-") {
            continue;
        }
        files += 1;
        let probes = play(&std::fs::read_to_string(&file).unwrap()).1.probes;
        assert!(probes.len() >= 4, "{} has too few probes", file.display());
        assert!(probes.is_sorted_by(|a, b| a < b), "{}: {probes:?}", file.display());
    }
    assert_eq!(files, 4, "approve, lease, add-key and operator commands each have their order");
}

/// `docs/spec/rules.md` has one heading per rule, in the same order.
#[test]
fn the_rule_book_lists_the_rules_of_the_code() {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec/rules.md");
    let text = std::fs::read_to_string(book).unwrap();
    let in_book: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("### R")).map(|rest| format!("R{rest}")).collect();
    let in_code: Vec<_> = Rule::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(in_book, in_code);
}
