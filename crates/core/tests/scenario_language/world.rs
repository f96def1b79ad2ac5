//! Runs the lines of one scenario. What must hold after every command, whatever it says, is in `checks.rs` and
//! `signatures.rs`.

use super::describe;
use super::line::Line;
use super::messages::message;
use super::names::{self, Names};
use super::processes::Processes;
use super::signatures::Signatures;
use interlock_core::{Action, Command, Denial, Epoch, LogPosition, Reason, Rule, State, Verdict};
use std::collections::BTreeMap;

pub(crate) struct World {
    pub(super) state: State,
    pub(super) names: Names,
    pub(super) processes: Processes,
    cluster_name: String,
    /// What the log of the present cluster began from.
    pub(super) origin: State,
    pub(super) log: Vec<(u64, Vec<Command>, Vec<Verdict>)>,
    backups: BTreeMap<String, State>,
    signatures: Signatures,
    /// Commands of the log entry that is being written.
    pub(super) batch: Option<Vec<Queued>>,
    /// The rule that decided each command, in order.
    pub(crate) rules: Vec<Rule>,
    /// Every refusal, by a cluster or in a process's memory.
    pub(crate) refusals: Vec<Denial>,
    /// The rule that decided each line that began with `probe`.
    pub(crate) probes: Vec<Rule>,
}

pub(super) struct Queued {
    command: Command,
    answer: String,
    is_probe: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut names = Names::default();
        let state = State::genesis(names.cluster("home"));
        Self {
            origin: state.clone(),
            processes: Processes::new(state.cluster()),
            state,
            names,
            cluster_name: "home".into(),
            log: Vec::new(),
            backups: BTreeMap::new(),
            signatures: Signatures::default(),
            batch: None,
            rules: Vec::new(),
            refusals: Vec::new(),
            probes: Vec::new(),
        }
    }

    /// Runs one line; what came of it, a line for each command that was decided.
    pub(crate) fn run(&mut self, text: &str) -> Vec<String> {
        let (text, is_probe) = text.strip_prefix("probe ").map_or((text, false), |rest| (rest, true));
        let mut line = Line::parse(text);
        let verb = line.word("a command");
        let came = match verb.as_str() {
            "show" => vec![self.show(&mut line)],
            "window" => vec![self.window(&mut line)],
            "backup" => vec![self.backup(&mut line)],
            "restore" => vec![self.restore(&mut line)],
            "batch" => {
                assert!(self.batch.replace(Vec::new()).is_none(), "a batch inside a batch");
                Vec::new()
            }
            "end" => {
                let items = self.batch.take().expect("`end` without `batch`");
                self.apply(items, true)
            }
            _ => self.propose(&verb, &mut line, is_probe),
        };
        line.finish();
        came.iter().map(|text| self.names.readable(text)).collect()
    }

    fn propose(&mut self, verb: &str, line: &mut Line, is_probe: bool) -> Vec<String> {
        let cluster_name = line.option("cluster").unwrap_or_else(|| self.cluster_name.clone());
        let cluster = self.names.cluster(&cluster_name);
        let command = self.command(verb, cluster, line);
        let answer = line.option("answer").unwrap_or_else(|| "newest".into());
        if let Err(error) = self.state.book().understands(&command) {
            return vec![format!("not proposed: {error}")];
        }
        let queued = Queued { command, answer, is_probe };
        match &mut self.batch {
            Some(batch) => {
                batch.push(queued);
                Vec::new()
            }
            None => self.apply(vec![queued], false),
        }
    }

    fn apply(&mut self, items: Vec<Queued>, with_places: bool) -> Vec<String> {
        let log_index = self.log.len() as u64 + 1;
        let commands: Vec<Command> = items.iter().map(|item| item.command.clone()).collect();
        let before = self.state.clone();
        let verdicts = self.state.apply_batch(log_index, &commands);
        self.check_one_by_one(before, log_index, &commands, &verdicts);
        self.check_late_copies();
        let mut came = Vec::new();
        for ((item, queued), verdict) in (0_u32..).zip(&items).zip(&verdicts) {
            self.rules.push(verdict.rule());
            if queued.is_probe {
                self.probes.push(verdict.rule());
            }
            self.deliver(queued, verdict);
            let place = LogPosition { log_index, item };
            let text = describe::verdict(verdict);
            came.push(if with_places { format!("{place} {text}") } else { text });
        }
        self.log.push((log_index, commands, verdicts));
        came
    }

    fn deliver(&mut self, queued: &Queued, verdict: &Verdict) {
        match (verdict, &queued.command.action) {
            (Verdict::Approved(approved), _) => self.signatures.add(approved),
            (Verdict::Denied(denial), _) => self.refusals.push(denial.clone()),
            (Verdict::Reserved(reserved), Action::Reserve { holder, .. }) => {
                self.processes.answer(holder, queued.command.key, &queued.answer, reserved.clone());
            }
            _ => {}
        }
    }

    fn show(&mut self, line: &mut Line) -> String {
        let name = line.option("key").unwrap_or_else(|| "val".into());
        let key = self.names.key_called(&name);
        self.state.key(key).map_or_else(|| "no such key".into(), describe::record)
    }

    fn window(&mut self, line: &mut Line) -> String {
        let name = line.option("key").unwrap_or_else(|| "val".into());
        let key = self.names.key_called(&name);
        let holder = names::holder(&line.word("a holder"));
        match line.word("takes, signs or closes").as_str() {
            "takes" => {
                let answer = line.option("answer").unwrap_or_else(|| "newest".into());
                self.processes.takes(&holder, key, &answer)
            }
            "signs" => {
                let intent = message(line, &mut self.names);
                match self.processes.signs(&holder, key, &intent) {
                    None => "no window is open: the cluster has to be asked".into(),
                    Some(Ok(approved)) => {
                        self.signatures.add(&approved);
                        format!("from memory, {}", describe::verdict(&Verdict::Approved(approved)))
                    }
                    Some(Err(denial)) => {
                        self.refusals.push(denial.clone());
                        format!("from memory, {denial}")
                    }
                }
            }
            "closes" => self.processes.closes(&holder, key, Epoch(line.number("epoch"))),
            other => panic!("no window {other}"),
        }
    }

    fn backup(&mut self, line: &mut Line) -> String {
        let name = line.word("the backup's name");
        self.backups.insert(name, self.state.clone());
        "kept".into()
    }

    /// Goes on as another cluster. The one before is gone: what it approved since its backup is known to nobody.
    fn restore(&mut self, line: &mut Line) -> String {
        self.replay();
        let cluster_name = line.text("cluster");
        let reason = Reason::parse(&line.text("reason")).unwrap();
        let from = match line.option("from") {
            Some(name) => self.backups.get(&name).expect("a backup of this name").clone(),
            None => self.state.clone(),
        };
        self.state = from.restored_as(self.names.cluster(&cluster_name), &reason);
        self.origin = self.state.clone();
        self.log.clear();
        self.processes.pin(self.state.cluster());
        self.cluster_name = cluster_name;
        format!("cluster {} begins with {} keys", self.state.cluster(), self.state.keys().len())
    }
}
