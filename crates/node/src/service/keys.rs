//! What an operator's requests about one key say, as commands of the rule book. Nothing is decided here; what is absent
//! is refused by name.

use crate::service::answer::malformed;
use crate::service::operator::{invalid, reason};
use interlock_core::command::AddKey;
use interlock_core::{
    Action, ChainIdentity, ClusterId, Command, Digest, KeyName, Policy, PublicKey, Reason, SignerId,
};
use interlock_proto::{Identity, claim_from_wire, key_id, policy_from_wire, v1};
use tonic::Status;

/// A request to change one key, as a command.
pub(super) trait KeyChange {
    /// The key, and what to do with it.
    fn parse(&self, who: &Identity, cluster: ClusterId) -> Result<Command, Status>;
}

fn command(cluster: ClusterId, key: &[u8], action: Action) -> Result<Command, Status> {
    let key = key_id(key).map_err(|error| malformed(&error))?;
    Ok(Command { cluster, key, action })
}

impl KeyChange for v1::AddKeyRequest {
    fn parse(&self, _: &Identity, cluster: ClusterId) -> Result<Command, Status> {
        let defaults = Policy::default();
        let add = AddKey {
            name: KeyName::parse(&self.name).map_err(|error| invalid(&error))?,
            chain: chain(&self.protocol, &self.chain_id)?,
            public_key: PublicKey::new(&self.public_key).map_err(|error| invalid(&error))?,
            signers: signers(&self.signers)?,
            claim: claim_from_wire(self.claim.as_ref()).map_err(|error| malformed(&error))?,
            policy: Policy {
                max_jump_heights: self.max_jump_heights.unwrap_or(defaults.max_jump_heights),
                lock_rule: self.lock_rule.unwrap_or(defaults.lock_rule),
                window_heights: self.window_heights.unwrap_or(defaults.window_heights),
            },
        };
        Ok(add.into_command(cluster))
    }
}

impl KeyChange for v1::SetPolicyRequest {
    fn parse(&self, who: &Identity, cluster: ClusterId) -> Result<Command, Status> {
        let policy = policy_from_wire(self.policy.as_ref()).map_err(|error| malformed(&error))?;
        let (expected_version, reason) = (self.expected_version, reason(who, &self.reason)?);
        command(cluster, &self.key_id, Action::SetPolicy { expected_version, policy, reason })
    }
}

impl KeyChange for v1::SetSignersRequest {
    fn parse(&self, who: &Identity, cluster: ClusterId) -> Result<Command, Status> {
        let signers = signers(&self.signers)?;
        let (expected_version, reason) = (self.expected_version, reason(who, &self.reason)?);
        command(cluster, &self.key_id, Action::SetSigners { expected_version, signers, reason })
    }
}

impl KeyChange for v1::ImportClaimRequest {
    fn parse(&self, who: &Identity, cluster: ClusterId) -> Result<Command, Status> {
        let claim = claim_from_wire(self.claim.as_ref()).map_err(|error| malformed(&error))?;
        let (expected_version, jump_confirmed) = (self.expected_version, self.jump_confirmed);
        let reason = reason(who, &self.reason)?;
        let action = Action::Import { expected_version, claim, jump_confirmed, reason };
        command(cluster, &self.key_id, action)
    }
}

impl KeyChange for v1::LiftQuarantineRequest {
    fn parse(&self, who: &Identity, cluster: ClusterId) -> Result<Command, Status> {
        let (expected_version, attestation) = (self.expected_version, reason(who, &self.attestation)?);
        command(cluster, &self.key_id, Action::LiftQuarantine { expected_version, attestation })
    }
}

/// The changes that carry a reason and nothing else.
pub(super) fn of_state(
    request: &v1::FreezeKeyRequest,
    who: &Identity,
    cluster: ClusterId,
    action: fn(u64, Reason) -> Action,
) -> Result<Command, Status> {
    let reason = reason(who, &request.reason)?;
    command(cluster, &request.key_id, action(request.expected_version, reason))
}

fn chain(protocol: &str, name: &str) -> Result<ChainIdentity, Status> {
    let chain_id = || name.parse().map_err(|error: interlock_core::text::TextError| invalid(&error));
    Ok(match protocol {
        "cometbft" => ChainIdentity::Cometbft(chain_id()?),
        "ethereum" => ChainIdentity::Ethereum { genesis_validators_root: root(name)? },
        "tezos" => ChainIdentity::Tezos(chain_id()?),
        "generic" => ChainIdentity::Generic(chain_id()?),
        _ => {
            return Err(Status::invalid_argument(format!(
                "protocol {protocol:?} is not known: use \"cometbft\", \"ethereum\", \"tezos\" or \"generic\""
            )));
        }
    })
}

fn root(hex: &str) -> Result<Digest, Status> {
    let wrong = || {
        Status::invalid_argument(format!("genesis validators root {hex:?} is not 64 lower-case hex digits"))
    };
    let bytes = hex.as_bytes();
    let canonical = bytes.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if bytes.len() != 64 || !canonical {
        return Err(wrong());
    }
    let mut root = [0; 32];
    for (byte, digits) in root.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(Digest(root))
}

fn signers(names: &[String]) -> Result<Vec<SignerId>, Status> {
    names.iter().map(|name| SignerId::parse(name).map_err(|error| invalid(&error))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_core::Claim;
    use interlock_core::cometbft::CometbftClaim;
    use interlock_proto::{Role, claim_to_wire};

    fn add() -> v1::AddKeyRequest {
        v1::AddKeyRequest {
            name: "val".into(),
            protocol: "cometbft".into(),
            chain_id: "c".into(),
            public_key: vec![1; 32],
            signers: vec!["alpha".into()],
            claim: Some(claim_to_wire(&Claim::Cometbft(CometbftClaim::floor(7)))),
            ..v1::AddKeyRequest::default()
        }
    }

    fn message(request: &v1::AddKeyRequest) -> String {
        let who = Identity::new("ops", Role::Operator).unwrap();
        request.parse(&who, ClusterId([1; 16])).unwrap_err().message().to_owned()
    }

    #[test]
    fn a_key_is_never_added_without_a_claim() {
        assert_eq!(message(&v1::AddKeyRequest { claim: None, ..add() }), "field claim is missing");
        let empty = Some(v1::Claim::default());
        assert_eq!(message(&v1::AddKeyRequest { claim: empty, ..add() }), "field claim is missing");
    }

    #[test]
    fn chains_are_told_apart_by_their_protocol() {
        assert!(message(&v1::AddKeyRequest { protocol: "solana".into(), ..add() }).contains("\"tezos\""));
        let ethereum =
            |root: &str| v1::AddKeyRequest { protocol: "ethereum".into(), chain_id: root.into(), ..add() };
        for wrong in ["", "4b", &"4B".repeat(32), &"zz".repeat(32)] {
            assert!(message(&ethereum(wrong)).contains("64 lower-case hex digits"), "{wrong}");
        }
        let who = Identity::new("ops", Role::Operator).unwrap();
        let command = ethereum(&"4b".repeat(32)).parse(&who, ClusterId([1; 16])).unwrap();
        let Action::AddKey(add) = command.action else { panic!("another action") };
        assert_eq!(add.chain, ChainIdentity::Ethereum { genesis_validators_root: Digest([0x4b; 32]) });
    }
}
