//! Where the records of `interlock audit` come from: a node that is asked, or a data directory on this machine.

use crate::args::{AuditSourceArgs, OperatorArgs};
use crate::error::CliError;
use crate::operator::connect;
use interlock_client::OperatorClient;
use interlock_core::{KeyId, LogPosition};
use interlock_node::{AuditReader, StoredRecord, audit_record_to_wire, stored_record_from_wire};
use interlock_proto::v1;

/// Records asked for at once.
const PAGE_RECORDS: u32 = 1000;
/// Before the first record that can be.
pub(crate) const BEGINNING: LogPosition = LogPosition { log_index: 0, item: 0 };

/// Some records, in order.
pub(crate) struct Page {
    pub(crate) records: Vec<v1::AuditRecord>,
    /// The same, for checking the chain.
    pub(crate) stored: Vec<StoredRecord>,
    pub(crate) next: LogPosition,
    pub(crate) end: bool,
    pub(crate) damage: Vec<String>,
}

pub(crate) enum Source {
    Node { client: OperatorClient, id: Option<u64> },
    Directory(AuditReader),
}

impl Source {
    pub(crate) fn open(args: &AuditSourceArgs) -> Result<Self, CliError> {
        if let Some(config) = &args.config {
            let client = connect(&OperatorArgs { config: config.clone() })?;
            return Ok(Self::Node { client, id: args.node });
        }
        let directory = args.data_dir.as_deref().unwrap_or(std::path::Path::new(""));
        let reader = interlock_node::open_audit(directory)
            .map_err(|error| CliError::AuditUnreadable { problem: error.to_string() })?;
        Ok(Self::Directory(reader))
    }

    /// Who answers, once somebody did.
    pub(crate) fn node_id(&self) -> Option<u64> {
        match self {
            Self::Node { id, .. } => *id,
            Self::Directory(_) => None,
        }
    }

    /// The records from a place on. All pages come from the node that gave the first.
    pub(crate) async fn page(&mut self, from: LogPosition, key: Option<KeyId>) -> Result<Page, CliError> {
        match self {
            Self::Node { client, id } => {
                let request = v1::AuditPageRequest {
                    from_log_index: from.log_index,
                    from_item: from.item,
                    count: PAGE_RECORDS,
                    key_id: key.map(|key| key.0.to_vec()),
                };
                let (answered, page) = client.audit_page(*id, &request).await?;
                *id = Some(answered);
                let stored = page.records.iter().map(stored_record_from_wire).collect::<Result<_, _>>();
                Ok(Page {
                    stored: stored.map_err(|problem| CliError::Answer { problem })?,
                    records: page.records,
                    next: LogPosition { log_index: page.next_log_index, item: page.next_item },
                    end: page.end,
                    damage: page.damage,
                })
            }
            Self::Directory(reader) => {
                let page = reader
                    .page(from, PAGE_RECORDS as usize, key)
                    .map_err(|error| CliError::AuditUnreadable { problem: error.to_string() })?;
                Ok(Page {
                    records: page.records.iter().map(|stored| audit_record_to_wire(&stored.record)).collect(),
                    stored: page.records,
                    next: page.next,
                    end: page.end,
                    damage: page.damage,
                })
            }
        }
    }
}
