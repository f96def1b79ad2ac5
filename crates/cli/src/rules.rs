//! `interlock cluster raise-rules`: the one step of an upgrade that cannot be taken back.

use crate::args::ClusterRaiseRulesArgs;
use crate::error::CliError;
use crate::operator::connect;
use crate::output;
use serde::Serialize;

#[derive(Debug, Serialize)]
struct RulesView {
    rules: u32,
    already: bool,
}

pub(crate) async fn raise(args: &ClusterRaiseRulesArgs) -> Result<(), CliError> {
    let rules = connect(&args.operator)?.raise_rules().await?;
    let view = RulesView { rules: rules.version, already: rules.already };
    output::show(args.output, &view, |view| {
        let what = if view.already {
            "were in force already: no voter knows a later version"
        } else {
            "are in force"
        };
        format!("rules of version {} {what}\n", view.rules)
    })
}
