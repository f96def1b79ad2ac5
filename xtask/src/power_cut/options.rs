//! The options of `cargo xtask power-cut`.

use super::layers::Layer;
use crate::Outcome;

const USAGE: &str = "usage: cargo xtask power-cut --cuts N --kills N [--file-system-cuts N] [--layers A,B] [--seed N] \
                     [--prove] [--output json|table]";
/// Cuts on each real file system, for this many simulated ones.
const SIMULATED_PER_FILE_SYSTEM_CUT: u64 = 40;
const FILE_SYSTEM_CUTS_MIN: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Table,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    cuts: u64,
    kills: u64,
    file_system_cuts: u64,
    pub(super) layers: Vec<Layer>,
    pub(super) seed: u64,
    /// Also show that planted bugs are noticed.
    pub(super) prove: bool,
    pub(super) output: Format,
}

impl Options {
    pub(super) fn of_arguments(arguments: &[&str]) -> Outcome<Options> {
        let (mut cuts, mut kills, mut file_system_cuts) = (None, None, None);
        let mut options = Options {
            cuts: 0,
            kills: 0,
            file_system_cuts: 0,
            layers: Layer::ALL.to_vec(),
            seed: 0,
            prove: false,
            output: Format::Table,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if *argument == "--prove" {
                options.prove = true;
                continue;
            }
            let value = arguments.next().ok_or(USAGE)?;
            match *argument {
                "--cuts" => cuts = Some(value.parse()?),
                "--kills" => kills = Some(value.parse()?),
                "--file-system-cuts" => file_system_cuts = Some(value.parse()?),
                "--seed" => options.seed = value.parse()?,
                "--layers" => {
                    options.layers = value.split(',').map(Layer::of_name).collect::<Outcome<_>>()?
                }
                "--output" => {
                    options.output = match *value {
                        "json" => Format::Json,
                        "table" => Format::Table,
                        _ => return Err(USAGE.into()),
                    };
                }
                _ => return Err(USAGE.into()),
            }
        }
        options.cuts = cuts.ok_or(USAGE)?;
        options.kills = kills.ok_or(USAGE)?;
        let share = (options.cuts / SIMULATED_PER_FILE_SYSTEM_CUT).max(FILE_SYSTEM_CUTS_MIN);
        options.file_system_cuts = file_system_cuts.unwrap_or(share);
        Ok(options)
    }

    /// How many cuts or kills this layer makes.
    pub(super) fn count_for(&self, layer: Layer) -> u64 {
        match layer {
            Layer::Simulated => self.cuts,
            Layer::Ext4 | Layer::Xfs => self.file_system_cuts,
            Layer::Kills => self.kills,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_layers_run_unless_some_are_named() {
        let options =
            Options::of_arguments(&["--cuts", "10000", "--kills", "300", "--output", "json"]).unwrap();
        assert_eq!(options.layers, Layer::ALL);
        assert_eq!(options.output, Format::Json);
        let counts = Layer::ALL.map(|layer| options.count_for(layer));
        assert_eq!(counts, [10_000, 250, 250, 300]);
        let named = Options::of_arguments(&["--cuts", "1", "--kills", "1", "--layers", "kills,xfs"]).unwrap();
        assert_eq!(named.layers, [Layer::Kills, Layer::Xfs]);
    }

    #[test]
    fn what_is_missing_or_unknown_is_an_error() {
        for arguments in [
            &["--cuts", "1"][..],
            &["--cuts", "1", "--kills"],
            &["--cuts", "1", "--kills", "many"],
            &["--cuts", "1", "--kills", "1", "--layers", "ext3"],
            &["--cuts", "1", "--kills", "1", "--fast", "1"],
        ] {
            assert!(Options::of_arguments(arguments).is_err(), "{arguments:?}");
        }
    }
}
