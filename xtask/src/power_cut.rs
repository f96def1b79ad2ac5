//! `cargo xtask power-cut`: power cuts and kills on several layers, each run by a test program of its crate.
//!
//! One JSON line on standard output says how many cuts and kills there were, how many acknowledgements were checked
//! and how many were lost. A layer that was asked for and did not run is an error, and so is a planted bug that a layer
//! does not notice. What a layer does stands in `crates/store/tests/power_cut` and `chaos-tests/tests/kills`.

mod layers;
mod options;

use layers::{Layer, LayerReport};
use options::{Format, Options};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::Outcome;

/// The share of `cargo xtask test`.
const SUITE_CUTS: u64 = 3_000;
const SUITE_FILE_SYSTEM_CUTS: u64 = 40;
const SUITE_KILLS: u64 = 12;
/// Within so many cuts a planted bug must be noticed.
const PROOF_CUTS: u64 = 2_000;
const PROOF_FILE_SYSTEM_CUTS: u64 = 100;

/// Bugs that a layer must notice, by the names that the test program gives them. Real file systems hide a missing sync
/// of a directory often enough, so that is asked of the strict layer only; sled needs real files.
const PLANTED: [(Layer, &str); 6] = [
    (Layer::Simulated, "acknowledge-before-sync"),
    (Layer::Simulated, "no-directory-sync"),
    (Layer::Ext4, "acknowledge-before-sync"),
    (Layer::Ext4, "sled"),
    (Layer::Xfs, "acknowledge-before-sync"),
    (Layer::Xfs, "sled"),
];

/// The command.
pub(crate) fn run(arguments: &[&str]) -> Outcome<()> {
    let options = Options::of_arguments(arguments)?;
    let mut reports = Vec::new();
    for layer in &options.layers {
        reports.push(layer.run(options.count_for(*layer), options.seed)?);
    }
    let noticed = if options.prove { prove(&options.layers)? } else { Vec::new() };
    match options.output {
        Format::Json => println!("{}", serde_json::to_string(&summary(&reports, &noticed))?),
        Format::Table => print!("{}", table(&reports, &noticed)),
    }
    verdict(&reports)
}

/// The bounded share of these layers, with the proof that they notice planted bugs. `Some`: why one could not run here.
pub(crate) fn bounded(layers: &[Layer]) -> Outcome<Option<String>> {
    let mut reports = Vec::new();
    for layer in layers {
        let count = match layer {
            Layer::Simulated => SUITE_CUTS,
            Layer::Ext4 | Layer::Xfs => SUITE_FILE_SYSTEM_CUTS,
            Layer::Kills => SUITE_KILLS,
        };
        let report = layer.run(count, 0)?;
        if let LayerReport::NotRun { layer, reason } = report {
            return Ok(Some(format!("{}: {reason}", layer.name())));
        }
        reports.push(report);
    }
    let noticed = prove(layers)?;
    eprint!("{}", table(&reports, &noticed));
    verdict(&reports).map(|()| None)
}

pub(crate) use layers::Layer as PowerCutLayer;

/// A planted bug and the cut at which it was noticed.
struct Noticed {
    layer: Layer,
    planted: &'static str,
    cut: u64,
}

fn prove(layers: &[Layer]) -> Outcome<Vec<Noticed>> {
    let mut noticed = Vec::new();
    for (layer, planted) in PLANTED.into_iter().filter(|(layer, _)| layers.contains(layer)) {
        let cuts = if layer == Layer::Simulated { PROOF_CUTS } else { PROOF_FILE_SYSTEM_CUTS };
        match layer.run_planted(cuts, planted)? {
            LayerReport::Ran { count, lost, .. } if lost > 0 => {
                noticed.push(Noticed { layer, planted, cut: count });
            }
            LayerReport::Ran { count, .. } => {
                let name = layer.name();
                return Err(format!("layer {name} does not notice {planted} within {count} cuts").into());
            }
            // The layer itself says so.
            LayerReport::NotRun { .. } => {}
        }
    }
    Ok(noticed)
}

fn verdict(reports: &[LayerReport]) -> Outcome<()> {
    for report in reports {
        match report {
            LayerReport::NotRun { layer, reason } => {
                return Err(format!("layer {} did not run: {reason}", layer.name()).into());
            }
            LayerReport::Ran { layer, lost, first_loss, .. } if *lost > 0 => {
                let loss = first_loss.as_deref().unwrap_or("it does not say what");
                return Err(format!("layer {}: {lost} lost: {loss}", layer.name()).into());
            }
            LayerReport::Ran { layer, acknowledged: 0, .. } => {
                return Err(
                    format!("layer {} acknowledged nothing, so it proves nothing", layer.name()).into()
                );
            }
            LayerReport::Ran { .. } => {}
        }
    }
    Ok(())
}

/// The JSON line, in this order.
#[derive(Debug, Serialize)]
struct Summary {
    /// On the simulated disk; those on real file systems are counted with their layers.
    cuts: u64,
    kills: u64,
    /// In all layers.
    acknowledged: u64,
    lost: u64,
    layers: Map<String, Value>,
    noticed: Vec<Value>,
}

/// Counts over all layers, then each layer by itself.
fn summary(reports: &[LayerReport], noticed: &[Noticed]) -> Summary {
    let (mut cuts, mut kills, mut all_acknowledged, mut all_lost) = (0, 0, 0, 0);
    let mut layers = Map::new();
    for report in reports {
        let (layer, value) = match report {
            LayerReport::Ran { layer, count, acknowledged, lost, first_loss } => {
                match layer {
                    Layer::Kills => kills += count,
                    Layer::Simulated => cuts += count,
                    Layer::Ext4 | Layer::Xfs => {}
                }
                all_acknowledged += acknowledged;
                all_lost += lost;
                let unit = layer.unit();
                (
                    layer,
                    json!({unit: count, "acknowledged": acknowledged, "lost": lost, "first_loss": first_loss}),
                )
            }
            LayerReport::NotRun { layer, reason } => (layer, json!({"not_run": reason})),
        };
        layers.insert(layer.name().to_owned(), value);
    }
    let noticed: Vec<Value> = noticed
        .iter()
        .map(|Noticed { layer, planted, cut }| json!({"layer": layer.name(), "planted": planted, "at_cut": cut}))
        .collect();
    Summary { cuts, kills, acknowledged: all_acknowledged, lost: all_lost, layers, noticed }
}

fn table(reports: &[LayerReport], noticed: &[Noticed]) -> String {
    let mut text =
        format!("{:<10} {:>8} {:>6} {:>13} {:>5}\n", "layer", "cuts", "kills", "acknowledged", "lost");
    for report in reports {
        text += &match report {
            LayerReport::Ran { layer, count, acknowledged, lost, .. } => {
                let (cuts, kills) = if *layer == Layer::Kills {
                    ("-".to_owned(), count.to_string())
                } else {
                    (count.to_string(), "-".to_owned())
                };
                format!("{:<10} {cuts:>8} {kills:>6} {acknowledged:>13} {lost:>5}\n", layer.name())
            }
            LayerReport::NotRun { layer, reason } => format!("{:<10} NOT RUN: {reason}\n", layer.name()),
        };
    }
    for Noticed { layer, planted, cut } in noticed {
        text += &format!("{:<10} notices {planted} at cut {cut}\n", layer.name());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(layer: Layer, count: u64, lost: u64) -> LayerReport {
        LayerReport::Ran { layer, count, acknowledged: 10 * count, lost, first_loss: None }
    }

    #[test]
    fn the_line_counts_all_layers_and_names_each() {
        let reports = [ran(Layer::Simulated, 7, 0), ran(Layer::Ext4, 2, 0), ran(Layer::Kills, 3, 0)];
        let noticed = [Noticed { layer: Layer::Ext4, planted: "sled", cut: 1 }];
        let summary = summary(&reports, &noticed);
        let line = serde_json::to_string(&summary).unwrap();
        assert!(line.starts_with(r#"{"cuts":7,"kills":3,"acknowledged":120,"lost":0,"layers":{"#), "{line}");
        assert_eq!(summary.layers["ext4"]["cuts"], 2);
        assert_eq!(summary.layers["kills"]["kills"], 3);
        assert_eq!(summary.noticed[0]["planted"], "sled");
        verdict(&reports).unwrap();
    }

    #[test]
    fn a_loss_a_layer_that_did_not_run_and_one_without_acknowledgements_are_errors() {
        let lost = verdict(&[ran(Layer::Simulated, 7, 0), ran(Layer::Kills, 3, 1)]).unwrap_err();
        assert!(lost.to_string().contains("layer kills: 1 lost"), "{lost}");
        let not_run = LayerReport::NotRun { layer: Layer::Xfs, reason: "no loop device".to_owned() };
        assert!(table(std::slice::from_ref(&not_run), &[]).contains("NOT RUN: no loop device"));
        let error = verdict(&[not_run]).unwrap_err().to_string();
        assert_eq!(error, "layer xfs did not run: no loop device");
        assert!(verdict(&[ran(Layer::Simulated, 0, 0)]).is_err());
    }
}
