//! Runs the lines of one scenario against one state, and checks what must hold after every command whatever it says.

use super::line::Line;
use super::names::{self, Names};
use interlock_core::cometbft::{CometbftIntent, Position, Step, Timestamp};
use interlock_core::command::AddKey;
use interlock_core::{
    Action, Approved, ClusterId, Command, Epoch, Grant, Intent, KeyId, KeyName, KeyRecord, LogPosition,
    NodeName, Policy, Reason, Rule, SignerId, State, Verdict, Watermark,
};
use std::collections::BTreeMap;

pub(crate) struct World {
    state: State,
    names: Names,
    keys: BTreeMap<String, KeyId>,
    log: Vec<(LogPosition, Command, Verdict)>,
    /// The rule that decided each command, in order.
    pub(crate) rules: Vec<Rule>,
    /// The rule that decided each line that began with `probe`.
    pub(crate) probes: Vec<Rule>,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut names = Names::default();
        let state = State::genesis(names.cluster("home"));
        let (keys, log) = (BTreeMap::new(), Vec::new());
        Self { state, names, keys, log, rules: Vec::new(), probes: Vec::new() }
    }

    /// Runs one line and says what came of it.
    pub(crate) fn run(&mut self, text: &str) -> String {
        let (text, is_probe) = text.strip_prefix("probe ").map_or((text, false), |rest| (rest, true));
        let mut line = Line::parse(text);
        let verb = line.word("a command");
        if verb == "show" {
            let shown = self.show(&mut line);
            line.finish();
            return self.names.readable(&shown);
        }
        let cluster_name = line.option("cluster").unwrap_or_else(|| "home".into());
        let cluster = self.names.cluster(&cluster_name);
        let command = match verb.as_str() {
            "add-key" => self.add_key(cluster, &mut line),
            _ => {
                let key = self.key(&mut line);
                Command { cluster, key, action: self.action(&verb, &mut line) }
            }
        };
        line.finish();
        let verdict = self.apply(command);
        self.rules.push(verdict.rule());
        if is_probe {
            self.probes.push(verdict.rule());
        }
        self.names.readable(&describe(&verdict))
    }

    fn apply(&mut self, command: Command) -> Verdict {
        let at = LogPosition { log_index: self.log.len() as u64 + 1, item: 0 };
        let before = self.state.clone();
        let verdict = self.state.apply(at, &command);
        let changes =
            matches!(verdict, Verdict::Granted(_) | Verdict::Released { .. } | Verdict::Changed { .. })
                || verdict.rule() == Rule::Advance;
        assert_eq!(
            before.keys().eq(self.state.keys()),
            !changes,
            "{verdict:?} must change the record if and only if it says so"
        );
        let bytes = minicbor::to_vec(&self.state).unwrap();
        assert_eq!(minicbor::decode::<State>(&bytes).unwrap(), self.state, "the state survives its encoding");
        self.log.push((at, command, verdict.clone()));
        verdict
    }

    /// A second replica that applies the same log must end in the same state with the same verdicts.
    pub(crate) fn replay(&self) {
        let mut replica = State::genesis(self.state.cluster());
        for (at, command, verdict) in &self.log {
            let encoded = minicbor::to_vec(command).unwrap();
            let decoded: Command = minicbor::decode(&encoded).unwrap();
            assert_eq!(&replica.apply(*at, &decoded), verdict);
        }
        assert_eq!(replica, self.state);
        assert_eq!(replica.audit_chain(), self.state.audit_chain());
    }

    fn key(&mut self, line: &mut Line) -> KeyId {
        let name = line.option("key").unwrap_or_else(|| "val".into());
        self.key_called(&name)
    }

    /// A key that was not described yet gets the identity that `add-key` would give it.
    fn key_called(&mut self, name: &str) -> KeyId {
        if let Some(key) = self.keys.get(name) {
            return *key;
        }
        self.names.key(name, &names::chain("demo-1"), &names::public_key(name))
    }

    fn add_key(&mut self, cluster: ClusterId, line: &mut Line) -> Command {
        let name = line.word("the key's name");
        let chain = names::chain(&line.option("chain").unwrap_or_else(|| "demo-1".into()));
        let public_key = names::public_key(&line.option("pubkey").unwrap_or_else(|| name.clone()));
        let key = self.names.key(&name, &chain, &public_key);
        let signers = line.option("signers").unwrap_or_else(|| "alpha,beta".into());
        let lock_rule = line.option("lock-rule").is_none_or(|value| value == "on");
        let policy = Policy { max_jump_heights: line.number_or("max-jump", 10_000), lock_rule };
        let named = line.option("id-of").map_or(key, |other| self.key_called(&other));
        self.keys.entry(name.clone()).or_insert(key);
        let add = AddKey {
            name: KeyName::parse(&name).unwrap(),
            chain,
            public_key,
            signers: signers
                .split(',')
                .filter(|s| !s.is_empty())
                .map(|s| SignerId::parse(s).unwrap())
                .collect(),
            floor_height: line.number_or("floor", 0),
            policy,
        };
        Command { cluster, key: named, action: Action::AddKey(add) }
    }

    fn action(&mut self, verb: &str, line: &mut Line) -> Action {
        match verb {
            "freeze" | "unfreeze" => {
                let expected_version = line.number("version");
                let reason = Reason::parse(&line.option("reason").unwrap_or_default()).unwrap();
                if verb == "freeze" {
                    Action::Freeze { expected_version, reason }
                } else {
                    Action::Unfreeze { expected_version, reason }
                }
            }
            "acquire" | "release" | "handover" | "approve" => {
                let holder = names::holder(&line.word("a holder"));
                let epoch = Epoch(line.number("epoch"));
                match verb {
                    "acquire" => Action::Acquire { holder, expected_epoch: epoch },
                    "release" => Action::Release { holder, epoch },
                    "handover" => {
                        let reason = Reason::parse("scenario").unwrap();
                        Action::Handover { expected_epoch: epoch, to: holder, reason }
                    }
                    _ => Action::Approve { holder, epoch, intent: Intent::Cometbft(self.intent(line)) },
                }
            }
            _ => panic!("no command is called {verb}"),
        }
    }

    fn intent(&mut self, line: &mut Line) -> CometbftIntent {
        let step = match line.word("a step").as_str() {
            "proposal" => Step::Proposal,
            "prevote" => Step::Prevote,
            "precommit" => Step::Precommit,
            other => panic!("no step is called {other}"),
        };
        let position =
            Position { height: line.number("h"), round: line.number("r").try_into().unwrap(), step };
        let block = line.option("block").expect("approve takes block=");
        let seconds = line.number_or("ts", 10).try_into().unwrap();
        let node = line.option("node").unwrap_or_else(|| "n1".into());
        CometbftIntent {
            position,
            block: self.names.block(&block),
            payload: self.names.payload(position, &block, seconds),
            timestamp: Timestamp { seconds, nanos: 0 },
            node: NodeName::parse(&node).unwrap(),
        }
    }

    fn show(&mut self, line: &mut Line) -> String {
        let key = self.key(line);
        self.state.key(key).map_or_else(|| "no such key".into(), describe_record)
    }
}

fn describe(verdict: &Verdict) -> String {
    let rule = verdict.rule();
    match verdict {
        Verdict::Approved(Approved { position, payload, timestamp, epoch, .. }) => {
            format!(
                "{rule}: sign {payload} at {position} with timestamp {} under epoch {epoch}",
                timestamp.seconds
            )
        }
        Verdict::Granted(Grant { holder, epoch, previous }) => {
            let previous = previous.as_ref().map_or_else(|| "nobody".into(), ToString::to_string);
            format!("{rule}: {holder} holds epoch {epoch}, before it {previous}")
        }
        Verdict::Released { epoch } => format!("{rule}: epoch {epoch} has ended"),
        Verdict::Changed { version } => format!("{rule}: version {version}"),
        Verdict::AlreadyDone { epoch, version, .. } => {
            format!("{rule}: done already, at epoch {epoch}, version {version}")
        }
        Verdict::Denied(denial) => denial.to_string(),
    }
}

fn describe_record(record: &KeyRecord) -> String {
    let Watermark::Cometbft(watermark) = &record.watermark;
    let holder = record.holder.as_ref().map_or_else(|| "nobody".into(), ToString::to_string);
    let last = watermark
        .last
        .as_ref()
        .map_or_else(|| "nothing".into(), |last| format!("{} at {}", last.payload, last.position));
    let lock = watermark.lock.as_ref().map_or_else(
        || "nothing".into(),
        |lock| format!("{} at height {} (epoch {}, {})", lock.block, lock.height, lock.epoch, lock.node),
    );
    format!(
        "{}, version {}, floor {}; epoch {} of {holder}; approved {last}; locked {lock}",
        record.state, record.version, watermark.floor_height, record.epoch
    )
}
