//! Lines that are commands to the cluster.

use super::claims::claim;
use super::line::Line;
use super::messages::message;
use super::names;
use super::world::World;
use interlock_core::command::AddKey;
use interlock_core::{
    Action, ClusterId, Command, Epoch, KeyId, KeyName, Policy, Reason, SignerId, Watermark,
};

impl World {
    /// Reads the command that a line begins with. The name of its answer, if it has one, is left in the line.
    pub(super) fn command(&mut self, verb: &str, cluster: ClusterId, line: &mut Line) -> Command {
        match verb {
            "add-key" => self.add_key(cluster, line),
            "raise-rules" => {
                let key = line.option("id-of").map(|name| self.names.key_called(&name));
                let action =
                    Action::RaiseRules { expected_rules: line.small("expected"), rules: line.small("to") };
                Command { cluster, key: key.unwrap_or_else(|| KeyId::of_cluster(cluster)), action }
            }
            _ => {
                let name = line.option("key").unwrap_or_else(|| "val".into());
                let key = self.names.key_called(&name);
                let action = match verb {
                    "acquire" | "release" | "handover" | "approve" | "reserve" => {
                        self.signers_action(verb, key, line)
                    }
                    _ => self.operators_action(verb, &name, line),
                };
                Command { cluster, key, action }
            }
        }
    }

    fn add_key(&mut self, cluster: ClusterId, line: &mut Line) -> Command {
        let name = line.word("the key's name");
        let chain = names::chain(&line.option("chain").unwrap_or_else(|| "demo-1".into()));
        let public_key = names::public_key(&line.option("pubkey").unwrap_or_else(|| name.clone()));
        let key = self.names.describe_key(&name, &chain, &public_key);
        let named = line.option("id-of").map_or(key, |other| self.names.key_called(&other));
        let claimed_for =
            line.option("claim-for").map_or(chain.protocol(), |name| names::protocol_called(&name));
        let add = AddKey {
            name: KeyName::parse(&name).unwrap(),
            signers: signers(&line.option("signers").unwrap_or_else(|| "alpha,beta".into())),
            claim: claim(claimed_for, line, &mut self.names),
            policy: policy(line),
            chain,
            public_key,
        };
        Command { cluster, key: named, action: Action::AddKey(add) }
    }

    fn signers_action(&mut self, verb: &str, key: KeyId, line: &mut Line) -> Action {
        let holder = names::holder(&line.word("a holder"));
        let epoch = Epoch(line.number("epoch"));
        match verb {
            "acquire" => Action::Acquire { holder, expected_epoch: epoch },
            "handover" => {
                let reason = Reason::parse("scenario").unwrap();
                Action::Handover { expected_epoch: epoch, to: holder, reason }
            }
            "release" => {
                let give_back = line.option("give-back").and_then(|what| match what.as_str() {
                    "window" => self.processes.closed(&holder, key),
                    _ => Some(self.watermark_of(&what)),
                });
                Action::Release { holder, epoch, give_back }
            }
            "reserve" => {
                let (height, up_to_height) = (line.number("height"), line.number("up-to"));
                Action::Reserve { holder, epoch, height, up_to_height }
            }
            _ => Action::Approve { holder, epoch, intent: message(line, &mut self.names) },
        }
    }

    /// `record-of-NAME`: the record of that key as it stands, whoever is asked to give it back.
    fn watermark_of(&mut self, what: &str) -> Watermark {
        let name = what.strip_prefix("record-of-").unwrap_or_else(|| panic!("give-back={what} is nothing"));
        let key = self.names.key_called(name);
        self.state.key(key).expect("give-back=record-of- names a key that is there").watermark.clone()
    }

    fn operators_action(&mut self, verb: &str, key_name: &str, line: &mut Line) -> Action {
        let expected_version = line.number("version");
        let reason = Reason::parse(&line.option("reason").unwrap_or_default()).unwrap();
        match verb {
            "freeze" => Action::Freeze { expected_version, reason },
            "unfreeze" => Action::Unfreeze { expected_version, reason },
            "retire" => Action::Retire { expected_version, reason },
            "policy" => Action::SetPolicy { expected_version, policy: policy(line), reason },
            "signers" => {
                let signers = signers(&line.text("signers"));
                Action::SetSigners { expected_version, signers, reason }
            }
            "lift-quarantine" => {
                let attestation = Reason::parse(&line.text("attest")).unwrap();
                Action::LiftQuarantine { expected_version, attestation }
            }
            "import" => {
                let own = self.names.protocol_of(key_name);
                let protocol = line.option("claim-for").map_or(own, |name| names::protocol_called(&name));
                let jump_confirmed = line.option("confirm").is_some_and(|value| value == "yes");
                let claim = claim(protocol, line, &mut self.names);
                Action::Import { expected_version, claim, jump_confirmed, reason }
            }
            _ => panic!("no command is called {verb}"),
        }
    }
}

fn policy(line: &mut Line) -> Policy {
    Policy {
        max_jump_heights: line.number_or("max-jump", 10_000),
        lock_rule: line.option("lock-rule").is_none_or(|value| value == "on"),
        window_heights: line.number_or("windows", 0),
    }
}

fn signers(list: &str) -> Vec<SignerId> {
    list.split(',').filter(|name| !name.is_empty()).map(|name| SignerId::parse(name).unwrap()).collect()
}
