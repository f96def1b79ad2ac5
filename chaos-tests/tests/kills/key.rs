//! One key under load: it asks for one height after the other, and checks its newest approval when it is told to.
//!
//! An unknown outcome is asked for again with the same payload until there is a verdict: only then is it known what the
//! guard must remember.

use std::time::Duration;

use interlock_client::{ApproveOutcome, Guard, KeyView, Permit};
use interlock_core::cometbft::{CometbftIntent, Position, Step, Timestamp};
use interlock_core::{Digest, Epoch, Intent, KeyId, NodeName};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// A verdict comes within this time unless it never comes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// One call; the loop around it goes on.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// `R5 EpochCurrent` and `R4 HolderMatches`: the lease has moved since we looked.
const LEASE_RULES: [u32; 2] = [4, 5];
/// `R11 NoConflict`.
const CONFLICT_RULE: u32 = 11;

/// An approval that was acknowledged.
#[derive(Debug, Clone, Copy)]
struct Acknowledged {
    height: u64,
    timestamp: Option<Timestamp>,
}

/// A key, and the process that signs with it.
pub(crate) struct KeyUnderLoad {
    pub(crate) id: KeyId,
    pub(crate) guard: Guard,
    pub(crate) view: watch::Receiver<Option<KeyView>>,
    newest: Option<Acknowledged>,
    height: u64,
}

/// What the guard says in the end.
enum Verdict {
    Approved(Permit),
    Refused { rule: u32, message: String },
}

fn intent(height: u64, payload: u8, seconds: i64) -> Intent {
    let mut digest = [payload; 32];
    digest[..8].copy_from_slice(&height.to_le_bytes());
    Intent::Cometbft(CometbftIntent {
        position: Position { height, round: 0, step: Step::Prevote },
        block: Some(Digest(digest)),
        payload: Digest(digest),
        timestamp: Timestamp { seconds, nanos: 0 },
        node: NodeName::parse("node-a").unwrap(),
    })
}

impl KeyUnderLoad {
    pub(crate) fn new(id: KeyId, guard: Guard, view: watch::Receiver<Option<KeyView>>) -> KeyUnderLoad {
        KeyUnderLoad { id, guard, view, newest: None, height: 0 }
    }

    /// Gets the next height approved. An error is a broken promise.
    pub(crate) async fn advance(&mut self) -> Result<(), String> {
        let height = self.height + 1;
        let seconds = 1_000_000 + height as i64;
        match self.ask(&intent(height, 1, seconds)).await? {
            Verdict::Approved(permit) => {
                self.newest = Some(Acknowledged { height, timestamp: permit.timestamp() });
                self.height = height;
                Ok(())
            }
            Verdict::Refused { message, .. } => {
                Err(format!("height {height} is new and was refused: {message}"))
            }
        }
    }

    /// The newest acknowledged approval must stand, with its timestamp. An error is a broken promise.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let Some(Acknowledged { height, timestamp }) = self.newest else { return Ok(()) };
        match self.ask(&intent(height, 2, 1)).await? {
            Verdict::Refused { rule: CONFLICT_RULE, .. } => {}
            Verdict::Refused { message, .. } => {
                return Err(format!(
                    "a conflict at height {height} was refused for another reason: {message}"
                ));
            }
            Verdict::Approved(_) => return Err(format!("a conflict at height {height} was approved")),
        }
        match self.ask(&intent(height, 1, 2)).await? {
            Verdict::Approved(permit) if permit.is_repeat() && permit.timestamp() == timestamp => Ok(()),
            Verdict::Approved(permit) => Err(format!(
                "the repeat at height {height} has timestamp {:?}, {timestamp:?} was acknowledged",
                permit.timestamp()
            )),
            Verdict::Refused { message, .. } => {
                Err(format!("the repeat at height {height} was refused: {message}"))
            }
        }
    }

    async fn ask(&self, intent: &Intent) -> Result<Verdict, String> {
        let deadline = Instant::now() + DEADLINE;
        let mut last = "nobody holds the lease".to_owned();
        while Instant::now() < deadline {
            let Some(epoch) = self.lease(deadline).await else { break };
            last = match self.guard.approve(self.id, epoch, intent, Instant::now() + CALL_TIMEOUT).await {
                ApproveOutcome::Permitted(permit) => return Ok(Verdict::Approved(permit)),
                ApproveOutcome::Denied { refusal, .. } if LEASE_RULES.contains(&refusal.rule) => {
                    self.lease_moved(epoch).await;
                    refusal.message
                }
                ApproveOutcome::Denied { refusal, .. } => {
                    return Ok(Verdict::Refused { rule: refusal.rule, message: refusal.message });
                }
                ApproveOutcome::Unavailable { message } => message,
                ApproveOutcome::Unknown(cause) => cause.to_string(),
            };
        }
        Err(format!("no verdict within {DEADLINE:?}: {last}"))
    }

    /// The epoch under which this process holds the lease, once it does.
    async fn lease(&self, deadline: Instant) -> Option<Epoch> {
        let mut view = self.view.clone();
        let incarnation = self.guard.incarnation();
        let ours = |view: &Option<KeyView>| {
            let holder = view.as_ref().and_then(|view| view.holder.as_ref());
            holder.is_some_and(|holder| holder.incarnation == incarnation)
        };
        let found = timeout(deadline - Instant::now(), view.wait_for(ours)).await.ok()?.ok()?.clone();
        found.map(|view| view.epoch)
    }

    /// Waits a little for news about a lease that was refused.
    async fn lease_moved(&self, epoch: Epoch) {
        let mut view = self.view.clone();
        let newer = view.wait_for(|view| view.as_ref().is_some_and(|view| view.epoch > epoch));
        // Without news the same is asked again.
        let _ = timeout(CALL_TIMEOUT, newer).await;
    }
}
