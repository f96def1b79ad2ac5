//! `interlock cluster members|add|remove|replace|set-address`: asks for one step after the other until all is done.

use crate::args::{
    AddressArgs, ChangeArgs, ClusterAddArgs, ClusterRemoveArgs, ClusterReplaceArgs, ClusterStatusArgs,
};
use crate::error::CliError;
use crate::operator::connect;
use crate::output::{self, table};
use interlock_client::OperatorClient;
use interlock_proto::v1;
use interlock_proto::v1::change_members_request::Goal;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Pause between two looks at a node that catches up.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a person is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
struct MembersView {
    cluster_id: String,
    /// A new node's id must be above it.
    highest_id: u64,
    members: Vec<MemberView>,
}

#[derive(Debug, Serialize)]
struct MemberView {
    id: u64,
    peer_address: String,
    client_address: String,
    role: &'static str,
    silent_ms: Option<u64>,
    behind_entries: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ChangeView {
    stage: &'static str,
    #[serde(flatten)]
    members: MembersView,
}

pub(crate) async fn show(args: &ClusterStatusArgs) -> Result<(), CliError> {
    let view = read(connect(&args.operator)?.members().await?)?;
    output::show(args.output, &view, draw)
}

pub(crate) async fn add(args: &ClusterAddArgs) -> Result<(), CliError> {
    change(Goal::Add(new_member(args.id, &args.addresses)), args.id, &args.change).await
}

pub(crate) async fn remove(args: &ClusterRemoveArgs) -> Result<(), CliError> {
    change(Goal::Remove(args.id), args.id, &args.change).await
}

pub(crate) async fn replace(args: &ClusterReplaceArgs) -> Result<(), CliError> {
    let with = Some(new_member(args.new_id, &args.addresses));
    let goal = Goal::Replace(v1::Replacement { old_node_id: args.old_id, with });
    change(goal, args.new_id, &args.change).await
}

pub(crate) async fn set_address(args: &ClusterAddArgs) -> Result<(), CliError> {
    change(Goal::SetAddress(new_member(args.id, &args.addresses)), args.id, &args.change).await
}

fn new_member(node_id: u64, addresses: &AddressArgs) -> v1::NewMember {
    let AddressArgs { peer_address, client_address } = addresses;
    v1::NewMember { node_id, peer_address: peer_address.clone(), client_address: client_address.clone() }
}

async fn change(goal: Goal, node_id: u64, args: &ChangeArgs) -> Result<(), CliError> {
    let client = connect(&args.operator)?;
    let stage = steps(&client, &goal, node_id, args).await?;
    let members = read(client.members().await?)?;
    note_even(&members);
    output::show(args.output, &ChangeView { stage, members }, |view| {
        format!("{}\n\n{}", view.stage, draw(&view.members))
    })
}

/// All steps, or one. Interrupted anywhere, the same command goes on from where it stands.
async fn steps(
    client: &OperatorClient,
    goal: &Goal,
    node_id: u64,
    args: &ChangeArgs,
) -> Result<&'static str, CliError> {
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let mut told: Option<Instant> = None;
    loop {
        let response = client.change_members(goal).await?;
        let stage = response.stage();
        if stage == v1::ChangeStage::Done || args.one_step {
            return Ok(stage_name(stage));
        }
        if stage != v1::ChangeStage::CatchingUp {
            output::note(stage_text(stage));
            continue;
        }
        let behind = response.behind_entries;
        if Instant::now() >= deadline {
            return Err(CliError::NotCaughtUp { node_id, behind, seconds: args.timeout });
        }
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            output::note(&format!("{}: {}", stage_text(stage), behind_text(behind)));
            told = Some(Instant::now());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(crate) fn behind_text(behind: u64) -> String {
    match behind {
        u64::MAX => "it has not been heard yet".to_owned(),
        entries => format!("{entries} entries behind"),
    }
}

/// For programs.
fn stage_name(stage: v1::ChangeStage) -> &'static str {
    match stage {
        v1::ChangeStage::Unspecified => "unknown",
        v1::ChangeStage::Prepared => "prepared",
        v1::ChangeStage::Learner => "learner",
        v1::ChangeStage::CatchingUp => "catching-up",
        v1::ChangeStage::Joint => "joint",
        v1::ChangeStage::NewVoters => "new-voters",
        v1::ChangeStage::Done => "done",
    }
}

/// For people.
fn stage_text(stage: v1::ChangeStage) -> &'static str {
    match stage {
        v1::ChangeStage::Unspecified => "a stage that this program does not know",
        v1::ChangeStage::Prepared => "the records of the members are up to date",
        v1::ChangeStage::Learner => "the new node follows and does not vote yet",
        v1::ChangeStage::CatchingUp => "the new node catches up",
        v1::ChangeStage::Joint => "old and new voters decide together",
        v1::ChangeStage::NewVoters => "committed",
        v1::ChangeStage::Done => "done",
    }
}

/// An even number of voters is one more to lose without one more to spare.
fn note_even(view: &MembersView) {
    let voters = view.members.iter().filter(|member| member.role == "voter").count();
    if voters > 0 && voters.is_multiple_of(2) {
        output::note(&format!(
            "{voters} voters tolerate no more failures than {}: add or remove one",
            voters - 1
        ));
    }
}

fn read(response: v1::MembersResponse) -> Result<MembersView, CliError> {
    let members = response.members.iter().map(|member| MemberView {
        id: member.node_id,
        peer_address: member.peer_address.clone(),
        client_address: member.client_address.clone(),
        role: match member.role() {
            v1::MemberRole::Unspecified => "unknown",
            v1::MemberRole::Voter => "voter",
            v1::MemberRole::Learner => "learner",
            v1::MemberRole::Joining => "joining",
            v1::MemberRole::Leaving => "leaving",
        },
        silent_ms: member.silent_ms,
        behind_entries: member.behind_entries,
    });
    Ok(MembersView {
        cluster_id: interlock_proto::cluster_id(&response.cluster_id)?.to_string(),
        highest_id: response.highest_id,
        members: members.collect(),
    })
}

fn draw(view: &MembersView) -> String {
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let rows = view.members.iter().map(|member| {
        [
            member.id.to_string(),
            member.role.to_owned(),
            member.peer_address.clone(),
            member.client_address.clone(),
            number(member.silent_ms),
            number(member.behind_entries),
        ]
    });
    table(["NODE", "ROLE", "PEERS", "CLIENTS", "SILENT MS", "BEHIND"], rows)
        + &format!("\nids used up to {}\n", view.highest_id)
}
