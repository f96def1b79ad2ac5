//! `interlock audit`: what was asked of the cluster and how it was decided, as one node wrote it down.

use crate::args::{AuditCommand, AuditExportArgs, AuditTailArgs, AuditVerifyArgs, OutputFormat};
use crate::audit_source::{BEGINNING, Source};
use crate::error::CliError;
use crate::operator::{connect, read_key};
use crate::output::{self, table};
use interlock_client::OperatorClient;
use interlock_core::{KeyId, LogPosition};
use interlock_node::{ChainCheck, ChainReport};
use interlock_proto::v1;
use serde::Serialize;
use std::time::Duration;
use time::OffsetDateTime;

/// Pause between two looks for new records.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(300);

/// A record as the command line shows it. The JSON names are a promise to programs.
#[derive(Debug, Serialize)]
struct RecordView {
    log_index: u64,
    item: u32,
    /// When the node that answers applied it, by its own clock, in ms since 1970.
    applied_at_ms: Option<u64>,
    key_id: String,
    rule: u32,
    rule_name: String,
    summary: String,
    holder: Option<String>,
    chain: String,
}

/// What a check of the chain found.
#[derive(Debug, Serialize)]
struct VerifyView {
    node: Option<u64>,
    records: u64,
    first: Option<String>,
    last: Option<String>,
    chain: Option<String>,
    /// Places between which records are missing: they came inside a snapshot, or were removed.
    gaps: Vec<[String; 2]>,
    gap_count: u64,
    holds: bool,
}

pub(crate) async fn run(command: &AuditCommand) -> Result<(), CliError> {
    match command {
        AuditCommand::Tail(args) => tail(args).await,
        AuditCommand::Verify(args) => verify(args).await,
        AuditCommand::Export(args) => export(args).await,
    }
}

async fn tail(args: &AuditTailArgs) -> Result<(), CliError> {
    let client = connect(&args.operator)?;
    let key = match &args.key {
        Some(key) => Some(find_key(&client, key).await?),
        None => None,
    };
    let node = match args.node {
        Some(node) => node,
        None => first_that_answers(&client).await?,
    };
    let records = client.audit_tail(Some(node), args.limit, key).await?;
    say_where_from(&client, node).await;
    let mut from = records.last().map_or(BEGINNING, after);
    show(args.output, records, true)?;
    if !args.follow {
        return Ok(());
    }
    let mut source = Source::Node { client, id: Some(node) };
    loop {
        let page = source.page(from, key).await?;
        from = page.next;
        show(args.output, page.records, false)?;
        if page.end {
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
    }
}

/// A key's id: given as such, or looked up by name.
async fn find_key(client: &OperatorClient, text: &str) -> Result<KeyId, CliError> {
    let mut id = KeyId([0; 32]);
    if hex::decode_to_slice(text, &mut id.0).is_ok() {
        return Ok(id);
    }
    Ok(interlock_proto::key_id(&read_key(client, text).await?.key_id)?)
}

async fn first_that_answers(client: &OperatorClient) -> Result<u64, CliError> {
    let probe = v1::AuditPageRequest { count: 1, ..v1::AuditPageRequest::default() };
    Ok(client.audit_page(None, &probe).await?.0)
}

async fn say_where_from(client: &OperatorClient, node: u64) {
    let reports = client.node_status().await;
    let answer = reports.into_iter().find(|report| report.node_id == node);
    let status = answer.and_then(|report| report.status.ok()).and_then(|status| status.audit);
    let index = status.map_or_else(|| "unknown".to_owned(), |status| status.index);
    output::note(&format!("from node {node}; its index: {index}"));
}

fn after(record: &v1::AuditRecord) -> LogPosition {
    LogPosition { log_index: record.log_index, item: record.item.saturating_add(1) }
}

fn show(format: OutputFormat, records: Vec<v1::AuditRecord>, head: bool) -> Result<(), CliError> {
    let views: Vec<RecordView> = records.into_iter().map(RecordView::read).collect();
    match format {
        OutputFormat::Json => lines(&views),
        OutputFormat::Table => output::data(&draw(&views, head)),
    }
}

fn lines(views: &[RecordView]) -> Result<(), CliError> {
    let mut text = String::new();
    for view in views {
        text += &serde_json::to_string(view).expect("our results have text keys, which JSON can hold");
        text.push('\n');
    }
    output::data(&text)
}

async fn export(args: &AuditExportArgs) -> Result<(), CliError> {
    let mut source = Source::open(&args.source)?;
    let (mut from, mut damage) = (BEGINNING, Vec::new());
    loop {
        let page = source.page(from, None).await?;
        let views: Vec<RecordView> = page.records.into_iter().map(RecordView::read).collect();
        lines(&views)?;
        damage.extend(page.damage);
        if page.end {
            return readable(&damage);
        }
        from = page.next;
    }
}

async fn verify(args: &AuditVerifyArgs) -> Result<(), CliError> {
    let mut source = Source::open(&args.source)?;
    let (mut from, mut damage, mut check) = (BEGINNING, Vec::new(), ChainCheck::default());
    loop {
        let page = source.page(from, None).await?;
        page.stored.iter().for_each(|stored| check.add(stored));
        damage.extend(page.damage);
        if page.end {
            break;
        }
        from = page.next;
    }
    let report = check.finish();
    output::show(args.output, &VerifyView::read(source.node_id(), &report), draw_verified)?;
    if let Some(first) = report.breaks.first() {
        let problem = format!(
            "at {} the chain is {}, but {} follows from the record before ({} such places)",
            first.at, first.found, first.expected, report.break_count
        );
        return Err(CliError::AuditBroken { problem });
    }
    readable(&damage)
}

fn readable(damage: &[String]) -> Result<(), CliError> {
    match damage {
        [] => Ok(()),
        [first, ..] => {
            let problem = format!("{first} ({} such places)", damage.len());
            Err(CliError::AuditBroken { problem })
        }
    }
}

impl RecordView {
    fn read(record: v1::AuditRecord) -> Self {
        Self {
            log_index: record.log_index,
            item: record.item,
            applied_at_ms: record.applied_at_ms,
            key_id: hex::encode(record.key_id),
            rule: record.rule,
            rule_name: record.rule_name,
            summary: record.summary,
            holder: Some(record.holder).filter(|holder| !holder.is_empty()),
            chain: hex::encode(record.chain),
        }
    }
}

impl VerifyView {
    fn read(node: Option<u64>, report: &ChainReport) -> Self {
        let text = |at: Option<LogPosition>| at.map(|at| at.to_string());
        Self {
            node,
            records: report.records,
            first: text(report.first),
            last: text(report.last),
            chain: report.chain.map(|chain| chain.to_string()),
            gaps: report.gaps.iter().map(|gap| [gap.after.to_string(), gap.before.to_string()]).collect(),
            gap_count: report.gap_count,
            holds: report.holds(),
        }
    }
}

fn draw(views: &[RecordView], head: bool) -> String {
    let rows = views.iter().map(|view| {
        [
            format!("{}.{}", view.log_index, view.item),
            view.applied_at_ms.map_or_else(|| "-".to_owned(), time_of),
            view.key_id.chars().take(12).collect(),
            view.summary.clone(),
        ]
    });
    let text = table(["PLACE", "APPLIED", "KEY", "WHAT"], rows);
    if head { text } else { text.lines().skip(1).map(|line| format!("{line}\n")).collect() }
}

/// `2026-11-24 05:38:07.123Z`; what is outside the calendar is shown as its number.
fn time_of(ms: u64) -> String {
    let at = i128::from(ms) * 1_000_000;
    let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(at) else { return ms.to_string() };
    let (date, time, ms) = (at.date(), at.time(), at.millisecond());
    format!("{date} {:02}:{:02}:{:02}.{ms:03}Z", time.hour(), time.minute(), time.second())
}

fn draw_verified(view: &VerifyView) -> String {
    let (Some(first), Some(last), Some(chain)) = (&view.first, &view.last, &view.chain) else {
        return "no records are kept\n".to_owned();
    };
    let from = view.node.map_or_else(String::new, |id| format!("node {id}: "));
    let mut text = format!("{from}{} records from {first} to {last}\nchain {chain}\n", view.records);
    for [after, before] in &view.gaps {
        text += &format!("gap between {after} and {before}: removed, or inside a snapshot\n");
    }
    text += if view.holds { "every record follows from the one before\n" } else { "the chain is broken\n" };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(time_of(0), "1970-01-01 00:00:00.000Z");
        assert_eq!(time_of(1_795_498_687_123), "2026-11-24 05:38:07.123Z");
        assert_eq!(time_of(u64::MAX), u64::MAX.to_string());
    }
}
