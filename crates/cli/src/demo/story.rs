//! What the demo does, step by step. Waits are for conditions, with a deadline; pauses only let the chain run on.

use super::children::Children;
use super::gaps::{longest_silence, millis};
use super::screen::Screen;
use super::world::{CHAIN_ID, KEY_NAME, NODE_COUNT, SIGNERS, World};
use super::{DemoError, Failover, Summary, watch};
use crate::args::OperatorArgs;
use crate::operator;
use interlock_client::{KeySelector, OperatorClient};
use interlock_core::Rule;
use interlock_proto::v1;
use interlock_toychain::{Address, Chain, ChainConfig, DoubleSignOutcome, Report};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long a single step may take before the demo gives up.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Pace of the chain.
const BLOCK_INTERVAL_MS: u64 = 100;
/// A chain with other validators does not wait long for ours.
const PRECOMMIT_WAIT_MS: u64 = 400;
/// After a handover, how often the new holder may answer that it does not hold the lease yet.
const ATTEMPTS_MAX: u32 = 5;
/// Longer than a standby holds a request back, so that none is under way while the chain stands.
const STANDSTILL: Duration = Duration::from_millis(400);
/// Between two looks at a condition.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Between two looks at whether everything still runs.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Everything that runs. Fields end in this order: the watchers, the processes, the chain, the files.
struct Story {
    watchers: JoinSet<()>,
    children: Children,
    chain: Chain,
    operator: OperatorClient,
    screen: Screen,
    failovers: Vec<Failover>,
    world: World,
}

/// Tells the story from beginning to end.
pub(super) async fn tell() -> Result<Summary, DemoError> {
    let mut story = Story::set_up().await?;
    let told = story.faults().await;
    let (report, failovers) = story.end().await?;
    told?;
    judge(&report, failovers)
}

impl Story {
    async fn set_up() -> Result<Self, DemoError> {
        let screen = Screen::new();
        let world = World::create()?;
        screen.say("made certificates, configurations and one validator key");
        let mut children = Children::default();
        start_nodes(&world, &mut children).await?;
        let operator = connect(&world)?;
        let chain = Chain::start(chain_config(&world)).await?;
        let watchers = watch::start(&screen, &chain, &operator);
        let mut story = Self { watchers, children, chain, operator, screen, failovers: Vec::new(), world };
        let leader = story.wait_for_leader(None).await?;
        story.screen.say(&format!("started three guard nodes; node {leader} leads"));
        story.start_signers().await?;
        story.chain.begin().await;
        story.screen.say("the chain begins; both validator nodes ask their signer for every step");
        Ok(story)
    }

    async fn start_signers(&mut self) -> Result<(), DemoError> {
        let public_key = self.world.public_key_text();
        let mut arguments = vec!["key", "add", "--config", "operator.toml", "--name", KEY_NAME];
        arguments.extend(["--chain-id", CHAIN_ID, "--public-key", &public_key, "--at-height", "0"]);
        arguments.extend(SIGNERS.iter().flat_map(|name| ["--signer", name]));
        Children::run(&self.world, "key add", &arguments).await?;
        for (node, name) in SIGNERS.into_iter().enumerate() {
            let config = self.world.write_signer(name, node, &self.chain.addresses()[node])?;
            Children::run(&self.world, "signer enroll", &["signer", "enroll", "--config", &config]).await?;
            self.start_signer(node)?;
            if node == 0 {
                self.wait_for_holder(name).await?;
            }
        }
        self.chain.wait_until_connected(STEP_TIMEOUT).await?;
        let [primary, standby] = SIGNERS;
        self.screen
            .say(&format!("put the key under guard; signer {primary} holds the lease, {standby} stands by"));
        Ok(())
    }

    /// The part with the accidents.
    async fn faults(&mut self) -> Result<(), DemoError> {
        self.go_on(Duration::from_millis(2_000)).await?;
        self.tempt_holder().await?;
        self.go_on(Duration::from_millis(500)).await?;
        let killed = self.kill_holder().await?;
        self.go_on(Duration::from_millis(1_500)).await?;
        self.start_signer(killed)?;
        self.wait_for_health(SIGNERS[killed]).await?;
        self.screen.say(&format!("started {} again; it stands by now", SIGNERS[killed]));
        self.kill_leader().await?;
        self.hand_over(SIGNERS[killed]).await?;
        self.go_on(Duration::from_millis(800)).await?;
        self.tempt_successor().await?;
        self.go_on(Duration::from_millis(500)).await
    }

    /// Asks the holder to contradict itself: its own watermark knows better.
    async fn tempt_holder(&mut self) -> Result<(), DemoError> {
        let node = self.holder().await?;
        self.tempt(node).await.map(drop)
    }

    /// Asks a signer to contradict the newest vote of any signer; returns its refusal.
    async fn tempt(&mut self, node: usize) -> Result<String, DemoError> {
        let signer = SIGNERS[node];
        match self.chain.attempt_double_sign(node).await? {
            DoubleSignOutcome::Refused { height, step, description } => {
                self.screen.say(&format!(
                    "asked {signer} for a second, different {step} at height {height}: refused"
                ));
                self.screen.say(&format!("  {description}"));
                Ok(description)
            }
            DoubleSignOutcome::Signed { height, step } => Err(DemoError::MustNotHappen(format!(
                "{signer} signed two different {step}s at height {height}"
            ))),
        }
    }

    /// Kills the signer that holds the lease; returns which.
    async fn kill_holder(&mut self) -> Result<usize, DemoError> {
        let node = self.holder().await?;
        self.screen.say(&format!("kill -9 of signer {}, which holds the lease", SIGNERS[node]));
        let fault_at = Instant::now();
        self.children.kill(&format!("signer-{}", SIGNERS[node])).await?;
        let found = self.chain.first_signature_elsewhere(node, fault_at, STEP_TIMEOUT).await;
        let first = found.ok_or_else(|| self.late("the standby signs"))?;
        let gap_ms = millis(first.at.duration_since(fault_at));
        let (signer, step, height) = (SIGNERS[first.node], first.step, first.height);
        self.screen
            .say(&format!("{signer} took over: {step} at height {height}, {gap_ms} ms after the kill"));
        self.failovers.push(Failover { cause: "signer killed", gap_ms });
        Ok(node)
    }

    async fn kill_leader(&mut self) -> Result<(), DemoError> {
        let old = self.wait_for_leader(None).await?;
        self.screen.say(&format!("kill -9 of guard node {old}, the leader"));
        let fault_at = Instant::now();
        self.children.kill(&format!("node-{old}")).await?;
        self.screen.board().dead_nodes.insert(old);
        let new = self.wait_for_leader(Some(old)).await?;
        let elected_at = Instant::now();
        let found = self.chain.first_signature_elsewhere(usize::MAX, elected_at, STEP_TIMEOUT).await;
        found.ok_or_else(|| self.late("signing goes on under the new leader"))?;
        self.go_on(Duration::from_millis(1_000)).await?;
        let signed = self.chain.signatures().into_iter().map(|signature| signature.at);
        let gap_ms = millis(longest_silence(signed, fault_at, Instant::now()));
        self.screen.say(&format!("node {new} leads; signing went on, longest silence {gap_ms} ms"));
        self.failovers.push(Failover { cause: "guard leader killed", gap_ms });
        Ok(())
    }

    /// A planned failover, as `interlock failover val --to SIGNER` does it.
    async fn hand_over(&mut self, to: &str) -> Result<(), DemoError> {
        let node = self.holder().await?;
        self.screen.say(&format!("interlock failover {KEY_NAME} --to {to} --reason \"back to the primary\""));
        let asked_at = Instant::now();
        let epoch = self.fail_over(to, "back to the primary").await?;
        let found = self.chain.first_signature_elsewhere(node, asked_at, STEP_TIMEOUT).await;
        let first = found.ok_or_else(|| self.late("the signer that was given the lease signs"))?;
        let signed = self.chain.signatures().into_iter().map(|signature| signature.at);
        let gap_ms = millis(longest_silence(signed, asked_at, first.at));
        self.screen
            .say(&format!("{to} holds the lease (epoch {epoch}) and signs, longest silence {gap_ms} ms"));
        self.failovers.push(Failover { cause: "planned failover", gap_ms });
        Ok(())
    }

    /// Hands the lease over between two heights, and asks the new holder to contradict what the old one signed last.
    /// Its own watermark knows nothing of that vote; the cluster does.
    async fn tempt_successor(&mut self) -> Result<(), DemoError> {
        let node = self.holder().await?;
        let successor = (node + 1) % SIGNERS.len();
        let (from, to) = (SIGNERS[node], SIGNERS[successor]);
        self.chain.pause().await;
        self.go_on(STANDSTILL).await?;
        let epoch = self.fail_over(to, "to see whether it contradicts the other").await?;
        self.screen.say(&format!("between two heights the lease went from {from} to {to} (epoch {epoch})"));
        for _ in 0..ATTEMPTS_MAX {
            // The news of the grant may still be on its way to the new holder.
            if !self.tempt(successor).await?.starts_with(&Rule::HolderMatches.to_string()) {
                break;
            }
        }
        self.chain.resume();
        Ok(())
    }

    /// Moves the lease; returns its new epoch.
    async fn fail_over(&self, to: &str, reason: &str) -> Result<u64, DemoError> {
        let request = v1::FailoverRequest {
            name: KEY_NAME.to_owned(),
            to: Some(to.to_owned()),
            force: false,
            reason: reason.to_owned(),
        };
        Ok(self.operator.failover(request).await?.epoch)
    }

    fn start_signer(&mut self, node: usize) -> Result<(), DemoError> {
        let name = format!("signer-{}", SIGNERS[node]);
        let config = format!("{name}.toml");
        self.children.start(&self.world, &name, &["signer", "start", "--config", &config])
    }

    /// Lets the chain run on, and sees that everything that should run does.
    async fn go_on(&mut self, duration: Duration) -> Result<(), DemoError> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.children.must_run(&self.world)?;
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        Ok(())
    }

    /// Index of the signer that holds the lease.
    async fn holder(&self) -> Result<usize, DemoError> {
        let answer = self.operator.show_key(&KeySelector::Name(KEY_NAME.to_owned())).await?;
        let holder = answer.key.and_then(|key| key.lease).and_then(|lease| lease.holder);
        let name = holder.map_or_else(|| "nobody".to_owned(), |holder| holder.signer);
        let index = SIGNERS.iter().position(|signer| *signer == name);
        index.ok_or_else(|| DemoError::MustNotHappen(format!("the lease is held by {name}")))
    }

    async fn wait_for_holder(&mut self, name: &str) -> Result<(), DemoError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        while self.holder().await.ok().is_none_or(|index| SIGNERS[index] != name) {
            self.look_again("the first signer holds the lease", deadline).await?;
        }
        Ok(())
    }

    async fn wait_for_leader(&mut self, not: Option<u64>) -> Result<u64, DemoError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        loop {
            if let Some(leader) = leader_of(&self.operator).await.filter(|leader| Some(*leader) != not) {
                return Ok(leader);
            }
            self.look_again("the guard nodes have a leader", deadline).await?;
        }
    }

    /// Waits until the cluster would give the lease to this signer.
    async fn wait_for_health(&mut self, name: &str) -> Result<(), DemoError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        loop {
            let reports = self.operator.node_status().await;
            let mut leaders = reports.iter().filter_map(|report| report.status.as_ref().ok());
            let leader = leaders.find(|status| status.leader == Some(status.node_id));
            let signer = leader.and_then(|status| status.signers.iter().find(|signer| signer.signer == name));
            if signer.is_some_and(|signer| signer.keys.iter().any(|key| key.fit && key.node_connected)) {
                return Ok(());
            }
            self.look_again("the signer is healthy again", deadline).await?;
        }
    }

    async fn look_again(&mut self, step: &'static str, deadline: Instant) -> Result<(), DemoError> {
        self.children.must_run(&self.world)?;
        if Instant::now() > deadline {
            return Err(self.late(step));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
        Ok(())
    }

    fn late(&self, step: &'static str) -> DemoError {
        let seen = self.screen.board().line();
        DemoError::Late { step, waited_ms: STEP_TIMEOUT.as_millis(), seen }
    }

    /// Ends everything, in order.
    async fn end(mut self) -> Result<(Report, Vec<Failover>), DemoError> {
        let report = self.chain.stop().await;
        self.watchers.shutdown().await;
        self.screen.tick();
        self.children.end_all().await?;
        Ok((report, self.failovers))
    }
}

/// The leader by the word of the node that says so itself, in the newest term.
pub(super) async fn leader_of(operator: &OperatorClient) -> Option<u64> {
    let reports = operator.node_status().await;
    let answers = reports.iter().filter_map(|report| report.status.as_ref().ok());
    let leaders = answers.filter(|status| status.leader == Some(status.node_id));
    leaders.max_by_key(|status| status.term).map(|status| status.node_id)
}

async fn start_nodes(world: &World, children: &mut Children) -> Result<(), DemoError> {
    let mut cluster_id = None;
    for id in 1..=NODE_COUNT {
        let config = format!("node-{id}.toml");
        let mut arguments = vec!["node", "format", "--config", &config];
        arguments.extend(cluster_id.iter().flat_map(|id: &String| ["--cluster-id", id]));
        let printed = Children::run(world, "node format", &arguments).await?;
        cluster_id.get_or_insert(printed);
    }
    for id in 1..=NODE_COUNT {
        let config = format!("node-{id}.toml");
        children.start(world, &format!("node-{id}"), &["node", "start", "--config", &config])?;
    }
    Ok(())
}

fn connect(world: &World) -> Result<OperatorClient, DemoError> {
    let args = OperatorArgs { config: world.path("operator.toml") };
    operator::connect(&args).map_err(|error| DemoError::MustNotHappen(error.to_string()))
}

/// The first validator node listens on tcp, the second on a unix socket: both doors are used.
fn chain_config(world: &World) -> ChainConfig {
    let tcp = Address::Tcp { peer_id: None, host: "127.0.0.1".to_owned(), port: 0 };
    let unix = Address::Unix { path: world.path("validator-1.sock") };
    let mut config = ChainConfig::new(CHAIN_ID, world.public_key(), vec![tcp, unix]);
    config.block_interval_ms = BLOCK_INTERVAL_MS;
    config.precommit_wait_ms = PRECOMMIT_WAIT_MS;
    config
}

fn judge(report: &Report, failovers: Vec<Failover>) -> Result<Summary, DemoError> {
    if let Some(conflict) = report.conflicts.first() {
        let (first, second) = (&conflict.first, &conflict.second);
        return Err(DemoError::MustNotHappen(format!(
            "{} pairs of conflicting signatures; the first by {} and {} at height {}, {}",
            report.conflicts.len(),
            SIGNERS[first.node],
            SIGNERS[second.node],
            first.height,
            first.step
        )));
    }
    if report.invalid > 0 {
        return Err(DemoError::MustNotHappen(format!(
            "{} answers were not valid signatures",
            report.invalid
        )));
    }
    if report.refused_double_signs == 0 {
        return Err(DemoError::MustNotHappen("no attempted double sign was refused".to_owned()));
    }
    Ok(Summary {
        signatures: report.signatures,
        conflicts: report.conflicts.len(),
        refused_double_signs: report.refused_double_signs,
        failovers,
    })
}
