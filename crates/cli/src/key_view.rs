//! A key as the command line shows it. The JSON names are a promise to programs.

use crate::error::CliError;
use crate::output::table;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use interlock_core::cometbft::{Position, Step};
use interlock_proto::{ConversionError, v1};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct KeyView {
    pub(crate) name: String,
    key_id: String,
    chain_id: String,
    public_key: String,
    state: String,
    signers: Vec<String>,
    /// Name of the signer that holds the lease.
    pub(crate) holder: Option<String>,
    /// Which process of it.
    incarnation: Option<String>,
    pub(crate) epoch: u64,
    approved: Option<PositionView>,
    floor_height: u64,
    version: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct PositionView {
    pub(crate) height: u64,
    pub(crate) round: u32,
    pub(crate) step: &'static str,
}

impl PositionView {
    pub(crate) fn read(wire: &v1::CometbftPosition) -> Result<Self, ConversionError> {
        let Position { height, round, step } = interlock_proto::position_from_wire(wire)?;
        let step = match step {
            Step::Proposal => "proposal",
            Step::Prevote => "prevote",
            Step::Precommit => "precommit",
        };
        Ok(Self { height, round, step })
    }
}

impl std::fmt::Display for PositionView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.height, self.round, self.step)
    }
}

impl KeyView {
    pub(crate) fn read(key: &v1::Key) -> Result<Self, CliError> {
        let lease = key.lease.as_ref().ok_or(ConversionError::Missing { field: "key.lease" })?;
        let holder = lease.holder.as_ref().map(interlock_proto::holder_from_wire).transpose()?;
        Ok(Self {
            name: key.name.clone(),
            key_id: interlock_proto::key_id(&key.key_id)?.to_string(),
            chain_id: key.chain_id.clone(),
            public_key: BASE64.encode(&key.public_key),
            state: key.state.clone(),
            signers: key.signers.clone(),
            holder: holder.as_ref().map(|holder| holder.signer.to_string()),
            incarnation: holder.as_ref().map(|holder| holder.incarnation.to_string()),
            epoch: lease.epoch,
            approved: key.approved.as_ref().map(PositionView::read).transpose()?,
            floor_height: key.floor_height,
            version: key.version,
        })
    }

    fn holder_text(&self) -> String {
        self.holder.clone().unwrap_or_else(|| "nobody".to_owned())
    }

    fn approved_text(&self) -> String {
        self.approved.map_or_else(|| "nothing yet".to_owned(), |position| position.to_string())
    }
}

pub(crate) fn draw_keys(keys: &[KeyView]) -> String {
    let head = ["NAME", "CHAIN", "STATE", "HOLDER", "EPOCH", "APPROVED"];
    let row = |key: &KeyView| {
        [
            key.name.clone(),
            key.chain_id.clone(),
            key.state.clone(),
            key.holder_text(),
            key.epoch.to_string(),
            key.approved_text(),
        ]
    };
    table(head, keys.iter().map(row))
}

pub(crate) fn draw_key(key: &KeyView) -> String {
    let incarnation = key.incarnation.as_deref().map_or(String::new(), |text| format!(" ({text})"));
    let lines = [
        ("name", key.name.clone()),
        ("key id", key.key_id.clone()),
        ("chain id", key.chain_id.clone()),
        ("public key", key.public_key.clone()),
        ("state", key.state.clone()),
        ("signers", key.signers.join(", ")),
        ("holder", key.holder_text() + &incarnation),
        ("epoch", key.epoch.to_string()),
        ("approved", key.approved_text()),
        ("floor height", key.floor_height.to_string()),
        ("version", key.version.to_string()),
    ];
    lines.iter().map(|(name, value)| format!("{name:<12}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> v1::Key {
        v1::Key {
            key_id: vec![1; 32],
            name: "val".into(),
            chain_id: "demo-1".into(),
            public_key: vec![2; 32],
            state: "active".into(),
            signers: vec!["alpha".into(), "beta".into()],
            lease: Some(v1::Lease {
                holder: Some(v1::Holder { signer: "alpha".into(), incarnation: vec![3; 16] }),
                epoch: 4,
            }),
            version: 5,
            floor_height: 6,
            approved: Some(v1::CometbftPosition { height: 7, round: 1, step: v1::Step::Prevote as i32 }),
            ..v1::Key::default()
        }
    }

    #[test]
    fn the_json_keeps_its_names() {
        let json = serde_json::to_value(KeyView::read(&wire()).unwrap()).unwrap();
        let expected = serde_json::json!({
            "name": "val", "key_id": "01".repeat(32), "chain_id": "demo-1",
            "public_key": BASE64.encode([2; 32]), "state": "active", "signers": ["alpha", "beta"],
            "holder": "alpha", "incarnation": "03".repeat(16), "epoch": 4,
            "approved": {"height": 7, "round": 1, "step": "prevote"}, "floor_height": 6, "version": 5,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn nobody_and_nothing_are_null_never_zero() {
        let wire = v1::Key { lease: Some(v1::Lease { holder: None, epoch: 4 }), approved: None, ..wire() };
        let json = serde_json::to_value(KeyView::read(&wire).unwrap()).unwrap();
        assert!(json["holder"].is_null() && json["incarnation"].is_null() && json["approved"].is_null());
    }

    #[test]
    fn an_answer_without_lease_is_an_error() {
        let wire = v1::Key { lease: None, ..wire() };
        assert!(KeyView::read(&wire).unwrap_err().to_string().contains("key.lease"));
    }
}
