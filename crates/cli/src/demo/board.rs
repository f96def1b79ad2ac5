//! What is known at this moment, for the screen.

use super::world::NODE_COUNT;
use interlock_toychain::Event;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Rates and latencies are over this much of the past.
const WINDOW: Duration = Duration::from_secs(2);

/// The state that is shown.
pub(super) struct Board {
    started_at: Instant,
    pub(super) leader: Option<u64>,
    pub(super) dead_nodes: BTreeSet<u64>,
    pub(super) holder: Option<String>,
    pub(super) epoch: u64,
    height: i64,
    signed: u64,
    missed: u64,
    /// Recent signatures: when, and how long the validator node waited for it.
    latencies: VecDeque<(Instant, u64)>,
    /// What was told so far: when, and what.
    pub(super) told: Vec<(Duration, String)>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            started_at: Instant::now(),
            leader: None,
            dead_nodes: BTreeSet::new(),
            holder: None,
            epoch: 0,
            height: 0,
            signed: 0,
            missed: 0,
            latencies: VecDeque::new(),
            told: Vec::new(),
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started_at.elapsed()
    }

    pub(super) fn chain_began(&self) -> bool {
        self.height > 0
    }

    pub(super) fn take_in(&mut self, event: &Event) {
        match event {
            Event::HeightStarted { height } => self.height = *height,
            Event::HeightSigned { .. } => self.signed += 1,
            Event::HeightMissed { .. } => self.missed += 1,
            Event::Signed { latency_us, .. } => self.latencies.push_back((Instant::now(), *latency_us)),
            _ => {}
        }
    }

    /// The lines that are always in view.
    pub(super) fn lines(&mut self) -> [String; 4] {
        let nodes = (1..=NODE_COUNT).map(|id| {
            let role = if self.dead_nodes.contains(&id) {
                "killed"
            } else if self.leader == Some(id) {
                "leader"
            } else {
                "follower"
            };
            format!("{id} {role}")
        });
        let holder = self.holder.as_deref().unwrap_or("nobody");
        [
            format!("guard nodes  {}", nodes.collect::<Vec<_>>().join("   ")),
            format!("lease        {holder}, epoch {}", self.epoch),
            format!("chain        height {}, signed {}, missed {}", self.height, self.signed, self.missed),
            format!("signatures   {}", self.pace()),
        ]
    }

    /// The same on one line.
    pub(super) fn line(&mut self) -> String {
        let holder = self.holder.clone().unwrap_or_else(|| "nobody".to_owned());
        let pace = self.pace();
        format!("height {}, lease {holder} (epoch {}), {pace}", self.height, self.epoch)
    }

    fn pace(&mut self) -> String {
        let now = Instant::now();
        while self.latencies.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.latencies.pop_front();
        }
        let mut latencies: Vec<u64> = self.latencies.iter().map(|(_, latency_us)| *latency_us).collect();
        latencies.sort_unstable();
        let Some(last) = latencies.len().checked_sub(1) else {
            return "none in the last 2 s".to_owned();
        };
        let at = |part: f64| latencies[(last as f64 * part).round() as usize] as f64 / 1000.0;
        let rate = latencies.len() as f64 / WINDOW.as_secs_f64();
        format!("{rate:.1} approved and signed per s, p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99))
    }
}
