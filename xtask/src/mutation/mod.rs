//! `cargo xtask mutation`: proves the proofs. Plants one safety bug at a time in a copy of the sources and demands
//! that a named test fails; plants changes that mean nothing and demands that none does.
//!
//! The bugs are text files in `xtask/mutations/`, exact replacements in the real sources: no switch for a bug exists in
//! the product, and a bug that no longer fits its source is an error, never a bug that silently stopped being planted.

mod caught;
mod plant;
mod tree;

use crate::{Outcome, workspace_root};
use caught::{Caught, check};
use plant::{Kind, Plant};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Instant;
use tree::Tree;

/// Where the last result is checked in.
const TABLE: &str = "docs/spec/results/mutation-core.md";

/// How the result is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// One line of JSON.
    Json,
    /// A table for people.
    Table,
    /// The table, written to its file.
    Write,
}

#[derive(Serialize)]
struct Report {
    planted: usize,
    caught: usize,
    neutral: usize,
    survived: usize,
    rows: Vec<Row>,
}

#[derive(Serialize, Clone)]
struct Row {
    bug: String,
    caught_by: String,
}

/// Plants every bug of one crate.
pub(crate) fn run(crate_name: &str, show: Show) -> Outcome<()> {
    let plants = plant::load(&workspace_root().join("xtask/mutations").join(crate_name))?;
    let tree = Tree::copy()?;
    eprintln!("the unchanged sources");
    if let Caught::By(tests) = check(&tree)? {
        return Err(format!("the unchanged sources fail already: {}", tests.join(", ")).into());
    }
    let mut rows = Vec::new();
    for plant in &plants {
        rows.push((plant, plant_one(&tree, plant)?));
    }
    let report = report(&rows);
    match show {
        Show::Json => println!("{}", serde_json::to_string(&report)?),
        Show::Table => println!("{}", table(&rows)),
        Show::Write => std::fs::write(workspace_root().join(TABLE), table(&rows))?,
    }
    verdict(&rows)
}

fn plant_one(tree: &Tree, plant: &Plant) -> Outcome<Caught> {
    let started = Instant::now();
    let planted = tree.plant(plant)?;
    let caught = check(tree);
    planted.remove()?;
    let caught = caught.map_err(|error| format!("{}: {error}", plant.name))?;
    eprintln!("{}: caught by {caught} ({:.0} s)", plant.name, started.elapsed().as_secs_f64());
    Ok(caught)
}

fn report(rows: &[(&Plant, Caught)]) -> Report {
    let count = |kind: Kind, caught: bool| {
        rows.iter().filter(|(plant, by)| plant.kind == kind && by.is_caught() == caught).count()
    };
    let of_kind = |kind: Kind| rows.iter().filter(move |(plant, _)| plant.kind == kind);
    Report {
        planted: of_kind(Kind::Bug).count(),
        caught: count(Kind::Bug, true),
        neutral: of_kind(Kind::Neutral).count(),
        survived: count(Kind::Neutral, false),
        rows: of_kind(Kind::Bug)
            .map(|(plant, by)| Row { bug: plant.name.clone(), caught_by: by.to_string() })
            .collect(),
    }
}

fn verdict(rows: &[(&Plant, Caught)]) -> Outcome<()> {
    let wrong: Vec<String> = rows
        .iter()
        .filter(|(plant, by)| (plant.kind == Kind::Bug) != by.is_caught())
        .map(|(plant, by)| match plant.kind {
            Kind::Bug => format!("{} was not caught", plant.name),
            Kind::Neutral => format!("{} changes nothing, but was caught by {by}", plant.name),
        })
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ").into()) }
}

fn table(rows: &[(&Plant, Caught)]) -> String {
    let mut text = "# Planted bugs: the rule book\n\nEach bug is planted alone, by replacing the text in its file \
        under `xtask/mutations/core/`.\nWritten by `cargo xtask mutation --crate core --write`; `cargo xtask test` \
        plants all of them anew.\nThe first proof that fails is named: properties, model, tables, scenarios, in this \
        order.\n\n| bug | what it breaks | caught by |\n|---|---|---|\n"
        .to_owned();
    for (plant, by) in rows {
        let by = match plant.kind {
            Kind::Bug => by.to_string(),
            Kind::Neutral => format!("{by}: a change without meaning"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} | {} | {by} |", plant.name, plant.why);
    }
    text
}

/// The part of `cargo xtask test`: plants every bug of the rule book, and holds the checked-in table against them.
pub(crate) fn test_core() -> Outcome<()> {
    check_table()?;
    run("core", Show::Table)
}

fn check_table() -> Outcome<()> {
    let text = std::fs::read_to_string(workspace_root().join(TABLE))?;
    let listed: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .filter(|name| *name != "bug")
        .collect();
    let plants = plant::load(&workspace_root().join("xtask/mutations/core"))?;
    let planted: BTreeSet<&str> = plants.iter().map(|plant| plant.name.as_str()).collect();
    if listed == planted {
        return Ok(());
    }
    Err(format!("{TABLE} lists other bugs than xtask/mutations/core: write it anew with --write").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plant(name: &str, kind: Kind) -> Plant {
        Plant { name: name.to_owned(), kind, why: "w".to_owned(), hunks: Vec::new() }
    }

    #[test]
    fn a_bug_that_survives_and_a_neutral_change_that_fails_are_errors() {
        let (bug, neutral) = (plant("bug", Kind::Bug), plant("same", Kind::Neutral));
        let by = || Caught::By(vec!["t".to_owned()]);
        verdict(&[(&bug, by()), (&neutral, Caught::ByNothing)]).unwrap();
        let error = verdict(&[(&bug, Caught::ByNothing), (&neutral, by())]).unwrap_err().to_string();
        assert_eq!(error, "bug was not caught; same changes nothing, but was caught by t");
    }

    #[test]
    fn the_report_counts_bugs_and_neutral_changes_apart() {
        let (bug, neutral) = (plant("bug", Kind::Bug), plant("same", Kind::Neutral));
        let rows = [(&bug, Caught::By(vec!["t".to_owned()])), (&neutral, Caught::ByNothing)];
        let json = serde_json::to_string(&report(&rows)).unwrap();
        assert_eq!(
            json,
            r#"{"planted":1,"caught":1,"neutral":1,"survived":1,"rows":[{"bug":"bug","caught_by":"t"}]}"#
        );
    }
}
