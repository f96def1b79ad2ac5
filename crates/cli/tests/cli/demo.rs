//! The demo as a user runs it: one line on stdout, the story on stderr, nothing left behind.

use crate::support::Scratch;

#[test]
fn the_demo_ends_well_and_leaves_nothing() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("temporary")).unwrap();
    let ended = scratch.run_with("demo --output json", |command| {
        command.env("TMPDIR", scratch.path("temporary"));
    });
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.stdout.matches('\n').count(), 1, "{ended:?}");
    let result: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(result["signatures"].as_u64().unwrap() > 20, "{result}");
    assert_eq!(result["conflicts"], 0);
    assert!(result["refused_double_signs"].as_u64().unwrap() >= 2, "{result}");
    let causes: Vec<_> =
        result["failovers"].as_array().unwrap().iter().map(|failover| &failover["cause"]).collect();
    assert_eq!(causes, ["signer killed", "guard leader killed", "planned failover"]);
    assert!(ended.stderr.contains("refused") && ended.stderr.contains("double sign"), "{ended:?}");
    assert_eq!(scratch.names("temporary"), [""; 0], "the scratch directory is gone");
}
