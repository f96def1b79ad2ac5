//! Keeps the screen up to date: chain events as they come, the cluster by asking it, as an operator would.

use super::screen::Screen;
use super::world::KEY_NAME;
use interlock_client::{KeySelector, OperatorClient};
use interlock_toychain::Chain;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

const REDRAW_INTERVAL: Duration = Duration::from_millis(100);
const MILESTONE_INTERVAL: Duration = Duration::from_secs(2);
const LEASE_INTERVAL: Duration = Duration::from_millis(100);
const LEADER_INTERVAL: Duration = Duration::from_millis(300);

/// Watches until the set is dropped.
pub(super) fn start(screen: &Screen, chain: &Chain, operator: &OperatorClient) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (on, mut events) = (screen.clone(), chain.events());
    tasks.spawn(async move {
        loop {
            match events.recv().await {
                Ok(event) => on.take_in(&event),
                // Only the numbers on the screen are poorer for it; the result comes from the chain's ledger.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
    let on = screen.clone();
    tasks.spawn(every(REDRAW_INTERVAL, move || on.tick()));
    let on = screen.clone();
    tasks.spawn(every(MILESTONE_INTERVAL, move || on.milestone()));
    tasks.spawn(watch_lease(screen.clone(), operator.clone()));
    tasks.spawn(watch_leader(screen.clone(), operator.clone()));
    tasks
}

async fn every(interval: Duration, mut act: impl FnMut()) {
    let mut ticks = tokio::time::interval(interval);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        act();
    }
}

async fn watch_lease(screen: Screen, operator: OperatorClient) {
    let key = KeySelector::Name(KEY_NAME.to_owned());
    loop {
        // No answer during an election is no news: the screen keeps what it knew.
        if let Ok(answer) = operator.show_key(&key).await
            && let Some(lease) = answer.key.and_then(|key| key.lease)
        {
            let mut board = screen.board();
            board.holder = lease.holder.map(|holder| holder.signer);
            board.epoch = lease.epoch;
        }
        tokio::time::sleep(LEASE_INTERVAL).await;
    }
}

async fn watch_leader(screen: Screen, operator: OperatorClient) {
    loop {
        let leader = super::story::leader_of(&operator).await;
        screen.board().leader = leader;
        tokio::time::sleep(LEADER_INTERVAL).await;
    }
}
