//! The arrows between crates: who may depend on whom, and which outside crates belong to one place only.
//!
//! Reads cargo's metadata, so that renamed or feature-bound dependencies are seen as well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use interlock_testkit::json;
use serde_json::Value;

use super::{Problem, SourceFile};
use crate::{Outcome, cargo};

/// One crate of the workspace: what it may depend on inside, and what its tests may use besides.
struct Arrow {
    package: &'static str,
    dependencies: &'static [&'static str],
    for_tests: &'static [&'static str],
}

const fn arrow(
    package: &'static str,
    dependencies: &'static [&'static str],
    for_tests: &'static [&'static str],
) -> Arrow {
    Arrow { package, dependencies, for_tests }
}

const CORE: &str = "interlock-core";
const CHAINS: &str = "interlock-chains";
const PRIVVAL: &str = "interlock-privval";
const DISK: &str = "interlock-disk";
const PROTO: &str = "interlock-proto";
const STORE: &str = "interlock-store";
const NODE: &str = "interlock-node";
const CLIENT: &str = "interlock-client";
const SIGNER: &str = "interlock-signer";
const TOYCHAIN: &str = "interlock-toychain";
const TESTKIT: &str = "interlock-testkit";
const CLI: &str = "interlock-cli";

const ARROWS: [Arrow; 15] = [
    arrow(CORE, &[], &[]),
    arrow(CHAINS, &[CORE, PRIVVAL], &[TESTKIT]),
    arrow(PRIVVAL, &[], &[TESTKIT]),
    arrow(DISK, &[], &[TESTKIT]),
    arrow(PROTO, &[CORE], &[]),
    arrow(STORE, &[CORE, DISK], &[TESTKIT]),
    arrow(NODE, &[CORE, DISK, PROTO, STORE], &[CLIENT, TESTKIT]),
    arrow(CLIENT, &[CORE, PROTO], &[NODE, DISK, STORE, TESTKIT]),
    arrow(SIGNER, &[CORE, CHAINS, PRIVVAL, DISK, CLIENT, PROTO], &[NODE, STORE, TOYCHAIN, TESTKIT]),
    arrow(TOYCHAIN, &[PRIVVAL], &[TESTKIT]),
    arrow(TESTKIT, &[], &[]),
    arrow(CLI, &[CORE, CHAINS, DISK, PROTO, NODE, CLIENT, SIGNER, TOYCHAIN], &[PRIVVAL, STORE, TESTKIT]),
    arrow(
        "chaos-tests",
        &[CORE, TESTKIT],
        &[CORE, NODE, CLIENT, SIGNER, STORE, DISK, PROTO, PRIVVAL, TOYCHAIN, TESTKIT],
    ),
    arrow("interlock-model", &[CORE], &[]),
    arrow("xtask", &[TESTKIT], &[]),
];

/// Outside crates with one home. Kind "tests" counts as use too: a test has no business with them elsewhere.
const HOMES: [(&str, &[&str]); 8] = [
    ("openraft", &[STORE, NODE]),
    ("sled", &[STORE]),
    ("prost", &[PROTO, PRIVVAL]),
    ("tonic-prost", &[PROTO]),
    ("tonic-prost-build", &[PROTO]),
    ("protox", &[PROTO]),
    ("tonic", &[PROTO, NODE, CLIENT]),
    ("ed25519-dalek", &[SIGNER, PRIVVAL, TOYCHAIN, TESTKIT]),
];

/// What the rule book may use: nothing that reads a clock, a file, a socket or chance.
const CORE_MAY_USE: [&str; 3] = ["minicbor", "sha2", "thiserror"];

/// A crate of the workspace as cargo sees it.
#[derive(Debug, Clone)]
pub(super) struct Package {
    name: String,
    manifest: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Clone)]
struct Dependency {
    name: String,
    for_tests: bool,
}

/// Asks cargo for the crates of the workspace and what they depend on.
pub(super) fn read_workspace(root: &Path) -> Outcome<Vec<Package>> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let output = Command::new(cargo()).args(arguments).current_dir(root).output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    json::array(&metadata, "/packages")?.iter().map(|package| read_package(package, root)).collect()
}

fn read_package(package: &Value, root: &Path) -> Outcome<Package> {
    let manifest = Path::new(json::text(package, "/manifest_path")?).strip_prefix(root)?;
    let mut dependencies = Vec::new();
    for dependency in json::array(package, "/dependencies")? {
        let for_tests = dependency.get("kind").and_then(Value::as_str) == Some("dev");
        dependencies.push(Dependency { name: json::text(dependency, "/name")?.to_owned(), for_tests });
    }
    Ok(Package {
        name: json::text(package, "/name")?.to_owned(),
        manifest: manifest.to_string_lossy().into_owned(),
        dependencies,
    })
}

pub(super) fn check(packages: &[Package]) -> Vec<Problem> {
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut problems = Vec::new();
    for package in packages {
        let Some(arrow) = ARROWS.iter().find(|arrow| arrow.package == package.name) else {
            let message = format!("crate {} is not in the list of arrows; place it there", package.name);
            problems.push(Problem::new(&package.manifest, 1, message));
            continue;
        };
        for dependency in &package.dependencies {
            let verdict = if names.contains(dependency.name.as_str()) {
                inside(arrow, dependency)
            } else {
                outside(arrow, dependency)
            };
            problems.extend(verdict.map(|message| Problem::new(&package.manifest, 1, message)));
        }
    }
    problems.extend(toychain_reaches_core(packages));
    problems
}

fn inside(arrow: &Arrow, dependency: &Dependency) -> Option<String> {
    let name = dependency.name.as_str();
    // A crate's own tests may ask for a feature of it.
    let in_tests = dependency.for_tests && (arrow.for_tests.contains(&name) || name == arrow.package);
    let allowed = arrow.dependencies.contains(&name) || in_tests;
    let allowed_text = arrow.dependencies.join(", ");
    (!allowed).then(|| {
        format!("{} may not depend on {name}; allowed inside the workspace: [{allowed_text}]", arrow.package)
    })
}

fn outside(arrow: &Arrow, dependency: &Dependency) -> Option<String> {
    let name = dependency.name.as_str();
    if arrow.package == CORE && !dependency.for_tests && !CORE_MAY_USE.contains(&name) {
        let allowed = CORE_MAY_USE.join(", ");
        return Some(format!("the rule book may not depend on {name}; allowed: [{allowed}]"));
    }
    let (_, homes) = HOMES.iter().find(|(home, _)| *home == name)?;
    (!homes.contains(&arrow.package))
        .then(|| format!("{} may not depend on {name}; only {} may", arrow.package, homes.join(", ")))
}

/// The toy chain judges the guard from outside, so it may not share its rules, by any path.
fn toychain_reaches_core(packages: &[Package]) -> Option<Problem> {
    let graph: BTreeMap<&str, &Package> =
        packages.iter().map(|package| (package.name.as_str(), package)).collect();
    let mut paths = vec![vec![TOYCHAIN]];
    let mut seen = BTreeSet::new();
    while let Some(path) = paths.pop() {
        let last = *path.last().expect("a path starts with the toy chain");
        if last == CORE {
            let message = format!("the toy chain must not link {CORE}: {}", path.join(" -> "));
            return Some(Problem::new(&graph[TOYCHAIN].manifest, 1, message));
        }
        let Some(package) = graph.get(last).filter(|_| seen.insert(last)) else { continue };
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.for_tests) {
            let mut longer = path.clone();
            longer.push(&dependency.name);
            paths.push(longer);
        }
    }
    None
}

/// The compiler then refuses every clock, file and socket in the rule book.
pub(super) fn check_core_is_no_std(files: &[SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let root = "crates/core/src/lib.rs";
    match files.iter().find(|file| file.path == root) {
        None => problems.push(Problem::new(root, 1, "the rule book has no root file")),
        Some(file) if !file.text.lines().any(|line| line.trim_end() == "#![no_std]") => {
            problems.push(Problem::new(root, 1, "add `#![no_std]`; a condition around it does not count"));
        }
        Some(_) => {}
    }
    for file in files.iter().filter(|file| file.path.starts_with("crates/core/src/")) {
        let mut above = "";
        for (index, line) in file.text.lines().map(str::trim).enumerate() {
            if line.starts_with("extern crate std") && above != "#[cfg(test)]" {
                problems.push(Problem::new(
                    &file.path,
                    index + 1,
                    "std is for tests only; put `#[cfg(test)]` above",
                ));
            }
            above = line;
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        let dependencies = dependencies.iter().map(|name| match name.strip_prefix("test:") {
            Some(name) => Dependency { name: name.to_owned(), for_tests: true },
            None => Dependency { name: (*name).to_owned(), for_tests: false },
        });
        Package {
            name: name.to_owned(),
            manifest: format!("{name}.toml"),
            dependencies: dependencies.collect(),
        }
    }

    fn found(packages: &[Package]) -> Vec<String> {
        check(packages).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn arrows_that_point_inward_pass() {
        let packages = [
            package(CORE, &["minicbor", "test:proptest"]),
            package(PRIVVAL, &["prost", "ed25519-dalek"]),
            package(TOYCHAIN, &[PRIVVAL, "test:interlock-testkit", "test:interlock-toychain"]),
            package(TESTKIT, &["serde_json"]),
        ];
        assert_eq!(found(&packages), [""; 0]);
    }

    #[test]
    fn each_forbidden_arrow_is_flagged() {
        for (name, dependency, part) in [
            (CORE, "tokio", "the rule book may not depend on tokio"),
            (
                CLIENT,
                "openraft",
                "interlock-client may not depend on openraft; only interlock-store, interlock-node may",
            ),
            (NODE, "sled", "interlock-node may not depend on sled"),
            (NODE, "test:prost", "interlock-node may not depend on prost"),
            (CLI, "ed25519-dalek", "interlock-cli may not depend on ed25519-dalek"),
            ("stranger", "serde", "crate stranger is not in the list of arrows"),
        ] {
            let found = found(&[package(name, &[dependency])]);
            assert!(found.len() == 1 && found[0].contains(part), "{name} -> {dependency}: {found:?}");
        }
        let found = found(&[package(TESTKIT, &[CORE]), package(CORE, &[])]);
        assert!(found[0].contains("interlock-testkit may not depend on interlock-core"), "{found:?}");
    }

    #[test]
    fn the_toy_chain_may_not_reach_the_rules_by_a_detour() {
        let packages = [package(TOYCHAIN, &[PRIVVAL]), package(PRIVVAL, &[CORE]), package(CORE, &[])];
        let found = found(&packages);
        let detour = "interlock-toychain -> interlock-privval -> interlock-core";
        assert!(found.iter().any(|problem| problem.contains(detour)), "{found:?}");
    }

    #[test]
    fn the_rule_book_must_be_no_std() {
        let file =
            |text: &str| SourceFile { path: "crates/core/src/lib.rs".to_owned(), text: text.to_owned() };
        assert_eq!(check_core_is_no_std(&[file("//! x\n#![no_std]\n#[cfg(test)]\nextern crate std;\n")]), []);
        assert_eq!(check_core_is_no_std(&[file("//! x\n#![cfg_attr(not(test), no_std)]\n")]).len(), 1);
        assert_eq!(check_core_is_no_std(&[file("//! x\n#![no_std]\nextern crate std;\n")])[0].line, 3);
        assert_eq!(check_core_is_no_std(&[]).len(), 1);
    }
}
