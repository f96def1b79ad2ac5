//! `interlock failover`: an operator moves a lease.

use crate::args::FailoverArgs;
use crate::error::CliError;
use crate::operator::{argument, connect, read_key, reason};
use crate::output;
use interlock_proto::{Identity, Role, v1};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct FailoverView {
    key: String,
    holder: String,
    epoch: u64,
}

pub(crate) async fn run(args: &FailoverArgs) -> Result<(), CliError> {
    reason(&args.reason)?;
    if let Some(to) = &args.to {
        argument("--to", to, Identity::new(to, Role::Signer))?;
    }
    let client = connect(&args.operator)?;
    // Says "no such key" where the failover itself could only say "refused".
    read_key(&client, &args.name).await?;
    let request = v1::FailoverRequest {
        name: args.name.clone(),
        to: args.to.clone(),
        force: args.force,
        reason: args.reason.clone(),
    };
    let lease = client.failover(request).await?;
    let missing = || CliError::Answer { problem: "the new lease has no holder".to_owned() };
    let holder = interlock_proto::holder_from_wire(lease.holder.as_ref().ok_or_else(missing)?)?;
    let view = FailoverView { key: args.name.clone(), holder: holder.signer.to_string(), epoch: lease.epoch };
    output::show(args.output, &view, |view| {
        format!("{} is now held by {} (epoch {})\n", view.key, view.holder, view.epoch)
    })
}
