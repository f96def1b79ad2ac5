//! When a long-running process ends: told by a signal, or, with `--end-with-stdin`, when whoever started it is gone.

use std::io::Read as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Waits for a reason to end in order, and names it.
pub(crate) async fn told_to_end(end_with_stdin: bool) -> Result<&'static str, std::io::Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let closed = async { if end_with_stdin { stdin_closed().await } else { std::future::pending().await } };
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
        () = closed => Ok("the end of stdin"),
    }
}

/// On a thread of its own: a task that reads stdin would keep the runtime from ending.
async fn stdin_closed() {
    let (closed, when_closed) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut ignored = [0; 64];
        // An error closes it as well as an end does.
        while matches!(std::io::stdin().read(&mut ignored), Ok(count) if count > 0) {}
        drop(closed);
    });
    // The sender is never used: its end is the message.
    let _dropped = when_closed.await;
}
