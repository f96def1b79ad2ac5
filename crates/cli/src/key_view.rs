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
    protocol: String,
    state_reason: String,
    /// Newest approval of each kind of message.
    marks: Vec<MarkView>,
    /// Highest height that the key may have signed.
    reach_height: u64,
    max_jump_heights: u64,
    lock_rule: bool,
    window_heights: u64,
    window_up_to_height: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct MarkView {
    position: String,
    /// Absent when it was imported.
    payload: Option<String>,
}

impl MarkView {
    fn read(wire: &v1::Mark) -> Result<Self, ConversionError> {
        Ok(Self {
            position: interlock_proto::any_position_from_wire(wire.position.as_ref())?.to_string(),
            payload: wire.payload.as_ref().map(hex::encode),
        })
    }
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
            protocol: key.protocol.clone(),
            state_reason: key.state_reason.clone(),
            marks: key.marks.iter().map(MarkView::read).collect::<Result<_, _>>()?,
            reach_height: key.reach_height,
            max_jump_heights: key.max_jump_heights,
            lock_rule: key.lock_rule,
            window_heights: key.window_heights,
            window_up_to_height: key.window_up_to_height,
        })
    }

    fn holder_text(&self) -> String {
        self.holder.clone().unwrap_or_else(|| "nobody".to_owned())
    }

    fn approved_text(&self) -> String {
        if let Some(position) = self.approved {
            return position.to_string();
        }
        let marks: Vec<&str> = self.marks.iter().map(|mark| mark.position.as_str()).collect();
        if marks.is_empty() { "nothing yet".to_owned() } else { marks.join("; ") }
    }

    fn state_text(&self) -> String {
        if self.state_reason.is_empty() {
            self.state.clone()
        } else {
            format!("{} ({})", self.state, self.state_reason)
        }
    }

    fn window_text(&self) -> String {
        match self.window_up_to_height {
            Some(up_to) => format!("open up to height {up_to}"),
            None if self.window_heights == 0 => "none allowed".to_owned(),
            None => format!("none open, {} heights allowed", self.window_heights),
        }
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
        ("protocol", key.protocol.clone()),
        ("chain id", key.chain_id.clone()),
        ("public key", key.public_key.clone()),
        ("state", key.state_text()),
        ("signers", key.signers.join(", ")),
        ("holder", key.holder_text() + &incarnation),
        ("epoch", key.epoch.to_string()),
        ("approved", key.approved_text()),
        ("floor height", key.floor_height.to_string()),
        ("window", key.window_text()),
        ("reach height", key.reach_height.to_string()),
        ("max jump", key.max_jump_heights.to_string()),
        ("lock rule", if key.lock_rule { "on" } else { "off" }.to_owned()),
        ("version", key.version.to_string()),
    ];
    lines.iter().map(|(name, value)| format!("{name:<12}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> v1::Mark {
        let position = v1::CometbftPosition { height: 7, round: 1, step: v1::Step::Prevote as i32 };
        let position = v1::Position { kind: Some(v1::position::Kind::Cometbft(position)) };
        v1::Mark { position: Some(position), payload: Some(vec![5, 5]) }
    }

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
            protocol: "cometbft".into(),
            reach_height: 7,
            max_jump_heights: 10,
            lock_rule: true,
            marks: vec![mark()],
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
            "protocol": "cometbft", "state_reason": "", "reach_height": 7, "max_jump_heights": 10, "lock_rule": true,
            "window_heights": 0, "window_up_to_height": null,
            "marks": [{"position": "height 7 round 1 prevote", "payload": "0505"}],
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
