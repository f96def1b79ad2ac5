//! What operators change on a key. Each command reads the key first and names the version that it saw, so that an order
//! given about an older record changes nothing.

use crate::error::CliError;
use crate::key_args::{KeyPolicyArgs, KeyReasonArgs, KeySignersArgs, OnOff, PolicyFlags};
use crate::operator::{argument, connect, read_key, reason};
use crate::output;
use interlock_proto::{Identity, Role, key_id, v1};

pub(crate) async fn freeze(args: &KeyReasonArgs) -> Result<(), CliError> {
    reason(&args.reason)?;
    let client = connect(&args.operator)?;
    let key = read_key(&client, &args.name).await?;
    let change = client.freeze(key_id(&key.key_id)?, key.version, &args.reason).await?;
    changed(&args.name, "frozen: nothing is signed with it", change.version);
    Ok(())
}

pub(crate) async fn unfreeze(args: &KeyReasonArgs) -> Result<(), CliError> {
    reason(&args.reason)?;
    let client = connect(&args.operator)?;
    let key = read_key(&client, &args.name).await?;
    let change = client.unfreeze(key_id(&key.key_id)?, key.version, &args.reason).await?;
    let after = read_key(&client, &args.name).await?;
    changed(&args.name, &after.state, change.version);
    Ok(())
}

pub(crate) async fn retire(args: &KeyReasonArgs) -> Result<(), CliError> {
    reason(&args.reason)?;
    let client = connect(&args.operator)?;
    let key = read_key(&client, &args.name).await?;
    let change = client.retire(key_id(&key.key_id)?, key.version, &args.reason).await?;
    changed(&args.name, "retired: nothing is ever signed with it again", change.version);
    Ok(())
}

pub(crate) async fn policy(args: &KeyPolicyArgs) -> Result<(), CliError> {
    reason(&args.reason)?;
    if args.policy == PolicyFlags::default() {
        let (argument, value) = ("key policy", args.name.clone());
        let problem = "give --max-jump, --lock-rule or --window-heights".to_owned();
        return Err(CliError::Argument { argument, value, problem });
    }
    let client = connect(&args.operator)?;
    let key = read_key(&client, &args.name).await?;
    let PolicyFlags { max_jump, lock_rule, window_heights } = args.policy;
    let policy = v1::Policy {
        max_jump_heights: Some(max_jump.unwrap_or(key.max_jump_heights)),
        lock_rule: Some(lock_rule.map_or(key.lock_rule, |lock| lock == OnOff::On)),
        window_heights: Some(window_heights.unwrap_or(key.window_heights)),
    };
    let request = v1::SetPolicyRequest {
        key_id: key.key_id,
        expected_version: key.version,
        policy: Some(policy),
        reason: args.reason.clone(),
    };
    let change = client.set_policy(request).await?;
    changed(&args.name, "under its new policy", change.version);
    Ok(())
}

pub(crate) async fn signers(args: &KeySignersArgs) -> Result<(), CliError> {
    reason(&args.reason)?;
    for signer in &args.signers {
        argument("--signer", signer, Identity::new(signer, Role::Signer))?;
    }
    let client = connect(&args.operator)?;
    let key = read_key(&client, &args.name).await?;
    let request = v1::SetSignersRequest {
        key_id: key.key_id,
        expected_version: key.version,
        signers: args.signers.clone(),
        reason: args.reason.clone(),
    };
    let change = client.set_signers(request).await?;
    changed(&args.name, &format!("for the signers {}", args.signers.join(", ")), change.version);
    Ok(())
}

pub(crate) fn changed(name: &str, state: &str, version: u64) {
    output::note(&format!("{name} is {state} (version {version})"));
}
