//! The layers: which test program runs each, and what it says.

use std::process::{Command, Stdio};

use interlock_testkit::json;
use serde_json::Value;

use crate::{Outcome, cargo, workspace_root};

/// Where the power is cut, or what is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// The whole store on a disk in memory with strict semantics.
    Simulated,
    /// The whole store on ext4 on a loop device, shut down without a flush of its journal.
    Ext4,
    /// The same on xfs.
    Xfs,
    /// Real guard nodes under load, killed with `kill -9`.
    Kills,
}

/// What a layer's program printed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LayerReport {
    Ran {
        layer: Layer,
        /// Cuts, or kills.
        count: u64,
        acknowledged: u64,
        lost: u64,
        first_loss: Option<String>,
    },
    NotRun {
        layer: Layer,
        reason: String,
    },
}

impl Layer {
    pub(super) const ALL: [Layer; 4] = [Layer::Simulated, Layer::Ext4, Layer::Xfs, Layer::Kills];

    pub(super) fn name(self) -> &'static str {
        match self {
            Layer::Simulated => "simulated",
            Layer::Ext4 => "ext4",
            Layer::Xfs => "xfs",
            Layer::Kills => "kills",
        }
    }

    pub(super) fn of_name(name: &str) -> Outcome<Layer> {
        let found = Layer::ALL.into_iter().find(|layer| layer.name() == name);
        found.ok_or_else(|| {
            format!("no layer is called {name}; there are simulated, ext4, xfs and kills").into()
        })
    }

    /// What it counts.
    pub(super) fn unit(self) -> &'static str {
        if self == Layer::Kills { "kills" } else { "cuts" }
    }

    /// Runs it without a planted bug.
    pub(super) fn run(self, count: u64, seed: u64) -> Outcome<LayerReport> {
        self.run_with(count, &["--seed", &seed.to_string()], Stdio::inherit())
    }

    /// Runs it with a planted bug, until that is noticed.
    pub(super) fn run_planted(self, count: u64, planted: &str) -> Outcome<LayerReport> {
        // It must fail, and cargo would call that an error.
        self.run_with(count, &["--planted", planted], Stdio::null())
    }

    fn run_with(self, count: u64, more: &[&str], stderr: Stdio) -> Outcome<LayerReport> {
        let (package, test) = match self {
            Layer::Simulated | Layer::Ext4 | Layer::Xfs => ("interlock-store", "power_cut"),
            Layer::Kills => ("chaos-tests", "kills"),
        };
        eprintln!("power-cut: {}, {count} {} {}", self.name(), self.unit(), more.join(" "));
        let mut command = Command::new(cargo());
        command.args(["test", "--quiet", "--package", package, "--test", test, "--", self.name()]);
        command.args([&format!("--{}", self.unit()), &count.to_string()]).args(more);
        command.current_dir(workspace_root()).stdin(Stdio::null()).stderr(stderr);
        // Its exit code comes back as cargo's; the line says more.
        let output = command.output()?;
        let printed = String::from_utf8(output.stdout)?;
        let line = printed.lines().rfind(|line| line.starts_with('{')).ok_or_else(|| {
            format!("layer {} ended with {} and printed no report: {printed}", self.name(), output.status)
        })?;
        self.read(line)
    }

    fn read(self, line: &str) -> Outcome<LayerReport> {
        let report: Value = serde_json::from_str(line)?;
        let name = json::text(&report, "/layer")?;
        if name != self.name() {
            return Err(format!("layer {} was asked for, {name} answered", self.name()).into());
        }
        if let Some(reason) = report.get("not_run").and_then(Value::as_str) {
            return Ok(LayerReport::NotRun { layer: self, reason: reason.to_owned() });
        }
        let number = |field: &str| {
            let found = report.get(field).and_then(Value::as_u64);
            found.ok_or_else(|| format!("the report of layer {name} has no number {field}: {line}"))
        };
        Ok(LayerReport::Ran {
            layer: self,
            count: number(self.unit())?,
            acknowledged: number("acknowledged")?,
            lost: number("lost")?,
            first_loss: report.get("first_loss").and_then(Value::as_str).map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_printed() {
        let line =
            r#"{"layer":"kills","kills":3,"acknowledged":40,"checks":6,"lost":1,"first_loss":"height 7"}"#;
        let expected = LayerReport::Ran {
            layer: Layer::Kills,
            count: 3,
            acknowledged: 40,
            lost: 1,
            first_loss: Some("height 7".to_owned()),
        };
        assert_eq!(Layer::Kills.read(line).unwrap(), expected);
        let line = r#"{"layer":"xfs","not_run":"mkfs.xfs does not run"}"#;
        let expected = LayerReport::NotRun { layer: Layer::Xfs, reason: "mkfs.xfs does not run".to_owned() };
        assert_eq!(Layer::Xfs.read(line).unwrap(), expected);
    }

    #[test]
    fn a_report_of_another_layer_or_without_a_count_is_no_report() {
        assert!(Layer::Ext4.read(r#"{"layer":"xfs","cuts":1,"acknowledged":1,"lost":0}"#).is_err());
        assert!(Layer::Ext4.read(r#"{"layer":"ext4","acknowledged":1,"lost":0}"#).is_err());
    }
}
