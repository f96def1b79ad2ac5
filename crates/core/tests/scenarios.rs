//! The rule book by example: runs every file of `tests/scenarios/` and compares each verdict with the one in it.
//!
//! `INTERLOCK_REWRITE_SCENARIOS=1 cargo test -p interlock-core --test scenarios` writes the files anew from what the
//! code does, and then fails. Commit the difference only if you understand it: a changed verdict is a changed rule.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod scenario_language;

use interlock_core::Rule;
use scenario_language::{World, one_refusal_of_each_kind};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::mem::discriminant;
use std::path::{Path, PathBuf};

/// Rules that no scenario can reach, each with the reason.
const UNREACHABLE: &[(Rule, &str)] = &[(
    Rule::InvariantKept,
    "it answers a bug of this code; the tests of invariant.rs hand it broken records, and the mutation table broken code",
)];

/// In these files a rule is checked later than its number says: right before the change is recorded (R37), as
/// `docs/spec/rules.md` has it for imports (R13), and for what needs later rules (R41).
const CHECKED_LAST: &[(&str, Rule)] = &[
    ("precedence-import.txt", Rule::JumpBounded),
    ("precedence-policy.txt", Rule::RulesInForce),
    ("precedence-add-key.txt", Rule::RulesInForce),
];

/// Each family of commands has its order.
const PRECEDENCE_FILES: &[&str] = &[
    "precedence-add-key.txt",
    "precedence-approve.txt",
    "precedence-freeze.txt",
    "precedence-handover.txt",
    "precedence-import.txt",
    "precedence-lease.txt",
    "precedence-policy.txt",
    "precedence-release.txt",
    "precedence-reserve.txt",
    "precedence-rules.txt",
    "precedence-signers.txt",
];

fn scenario_files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "there are no scenario files");
    files
}

fn file_name(file: &Path) -> String {
    file.file_name().unwrap().to_string_lossy().into_owned()
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
            verdicts.extend(world.run(line));
        }
        writeln!(played, "{line}").unwrap();
    }
    assert!(verdicts.is_empty(), "the file ends in commands without `----`");
    world.replay();
    (played, world)
}

fn played(file: &Path) -> World {
    play(&std::fs::read_to_string(file).unwrap()).1
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

/// A file that begins with its subject reads as a page of the specification.
#[test]
fn every_scenario_file_begins_with_prose() {
    for file in scenario_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# "), "{} begins without prose", file.display());
    }
}

#[test]
fn every_rule_decides_in_some_scenario() {
    let mut hit = BTreeSet::new();
    for file in scenario_files() {
        hit.extend(played(&file).rules);
    }
    let expected: BTreeSet<_> = Rule::ALL
        .iter()
        .copied()
        .filter(|rule| UNREACHABLE.iter().all(|(unreachable, _)| unreachable != rule))
        .collect();
    assert_eq!(hit, expected, "left: rules that decided; right: rules that some scenario must show");
}

/// Each probe repairs what the one before it was refused for, so the deciding rule only ever moves down the list.
#[test]
fn precedence_files_descend_through_the_rules() {
    let mut found = Vec::new();
    for file in scenario_files() {
        let name = file_name(&file);
        if !name.starts_with("precedence-") {
            continue;
        }
        let late = CHECKED_LAST.iter().find(|(of, _)| *of == name).map(|(_, rule)| *rule);
        let probes = played(&file).probes;
        let place = |rule: &Rule| match rule {
            rule if Some(*rule) == late => (Rule::VersionExpected, 1),
            rule => (*rule, 0),
        };
        assert!(probes.len() >= 4, "{name} has too few probes");
        assert!(late.is_none_or(|late| probes.contains(&late)), "{name} does not show {late:?}");
        assert!(probes.is_sorted_by(|a, b| place(a) < place(b)), "{name}: {probes:?}");
        found.push(name);
    }
    assert_eq!(found, PRECEDENCE_FILES, "each family of commands has its order, and no other file");
}

/// `docs/spec/rules.md` has one heading per rule, in the same order.
#[test]
fn the_rule_book_lists_the_rules_of_the_code() {
    let in_code: Vec<_> = Rule::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(headings(), in_code);
}

/// From the text of a refusal to its rule in one step: it begins with the words of a heading of the rule book, and goes
/// on with what disagreed.
#[test]
fn the_text_of_every_refusal_begins_with_its_heading_in_the_rule_book() {
    let headings = headings();
    for refusal in one_refusal_of_each_kind() {
        let text = refusal.to_string();
        let (rule, rest) = text.split_once(": ").unwrap_or_else(|| panic!("{text:?} names no rule"));
        assert!(headings.iter().any(|heading| heading == rule), "{text:?}: {rule} is not in the rule book");
        assert_eq!(rule, refusal.rule().to_string(), "{text:?}");
        assert!(rest.len() > 10 && !rest.ends_with('.'), "{text:?} does not go on with what disagreed");
        assert!(!rest.contains('{'), "{text:?} is the refusal for programmers, not in words");
    }
}

/// A rule may refuse for several reasons; each of them is shown.
#[test]
fn every_kind_of_refusal_is_met_in_some_scenario() {
    let files = scenario_files();
    let met: Vec<_> =
        files.iter().flat_map(|file| played(file).refusals).map(|met| discriminant(&met)).collect();
    let unreachable = |rule: Rule| UNREACHABLE.iter().any(|(unreachable, _)| *unreachable == rule);
    let missing: Vec<_> = one_refusal_of_each_kind()
        .into_iter()
        .filter(|refusal| !unreachable(refusal.rule()) && !met.contains(&discriminant(refusal)))
        .map(|refusal| refusal.to_string())
        .collect();
    assert!(missing.is_empty(), "no scenario shows a refusal like {missing:#?}");
}

/// What decides a refusal can only be a rule that refuses.
#[test]
fn every_rule_that_refuses_has_a_text() {
    let grants = [
        Rule::Repeat,
        Rule::Advance,
        Rule::WindowReserved,
        Rule::LeaseGranted,
        Rule::LeaseReleased,
        Rule::KeyChanged,
        Rule::RulesRaised,
    ];
    let refusing: BTreeSet<_> = one_refusal_of_each_kind().iter().map(|refusal| refusal.rule()).collect();
    let expected: BTreeSet<_> = Rule::ALL.iter().copied().filter(|rule| !grants.contains(rule)).collect();
    assert_eq!(refusing, expected);
}

/// The headings of the rule book that name a rule.
fn headings() -> Vec<String> {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec/rules.md");
    let text = std::fs::read_to_string(book).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("### R")).map(|rest| format!("R{rest}")).collect()
}
