//! Health over plain HTTP: open to everybody who reaches the port, and says nothing but alive and ready.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use interlock_store::{StateMachine, TypeConfig};
use openraft::async_runtime::WatchReceiver;
use tokio::net::TcpListener;

type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// Serves `/livez` and `/readyz` until its task is aborted.
pub(crate) async fn serve(listener: TcpListener, raft: Raft) -> std::io::Result<()> {
    let router = Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(raft);
    axum::serve(listener, router).await
}

async fn livez() -> &'static str {
    "ok\n"
}

/// Ready: consensus runs and a leader is known.
async fn readyz(State(raft): State<Raft>) -> (StatusCode, String) {
    let metrics = raft.metrics().borrow_watched().clone();
    match (metrics.running_state, metrics.current_leader) {
        (Ok(()), Some(leader)) => (StatusCode::OK, format!("ok: node {leader} leads\n")),
        (Ok(()), None) => (StatusCode::SERVICE_UNAVAILABLE, "no leader is known\n".to_owned()),
        (Err(error), _) => (StatusCode::SERVICE_UNAVAILABLE, format!("consensus has stopped: {error}\n")),
    }
}
