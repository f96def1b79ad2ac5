//! Waiting for a condition with a deadline. Nothing in the tests sleeps for a fixed time and hopes.

use std::time::{Duration, Instant};

/// Pause between two looks at the condition.
const POLL_INTERVAL: Duration = Duration::from_millis(15);

/// What one look at the condition found.
#[derive(Debug)]
pub enum Seen<T> {
    /// The condition holds.
    Done(T),
    /// Not yet; the text says what was seen instead.
    Pending(String),
    /// It can never hold any more, for example because a process ended.
    Hopeless(String),
}

/// A condition that did not come true.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The deadline passed.
    #[error("waited {timeout_ms} ms for {what}; last seen: {last_seen}")]
    Deadline {
        /// The condition, in words.
        what: String,
        /// How long it was waited for.
        timeout_ms: u128,
        /// What the last look found.
        last_seen: String,
    },
    /// The condition became impossible.
    #[error("gave up waiting for {what}: {reason}")]
    Hopeless {
        /// The condition, in words.
        what: String,
        /// Why it cannot hold any more.
        reason: String,
    },
}

/// Looks at `condition` until it is done, hopeless, or `timeout` has passed. It is looked at least once.
pub fn wait_until<T>(
    what: &str,
    timeout: Duration,
    mut condition: impl FnMut() -> Seen<T>,
) -> Result<T, WaitError> {
    let deadline = Instant::now() + timeout;
    loop {
        let last_seen = match condition() {
            Seen::Done(value) => return Ok(value),
            Seen::Hopeless(reason) => return Err(WaitError::Hopeless { what: what.to_owned(), reason }),
            Seen::Pending(state) => state,
        };
        if Instant::now() >= deadline {
            return Err(WaitError::Deadline {
                what: what.to_owned(),
                timeout_ms: timeout.as_millis(),
                last_seen,
            });
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_carries_what_was_seen_last() {
        let mut looks = 0;
        let error = wait_until::<()>("a miracle", Duration::from_millis(40), || {
            looks += 1;
            Seen::Pending(format!("look {looks}"))
        })
        .unwrap_err();
        assert!(looks >= 2, "only {looks} looks");
        assert_eq!(error.to_string(), format!("waited 40 ms for a miracle; last seen: look {looks}"));
    }

    #[test]
    fn a_hopeless_wait_ends_at_once() {
        let started = Instant::now();
        let error =
            wait_until::<()>("a node", Duration::from_secs(60), || Seen::Hopeless("it exited".into()));
        assert_eq!(error.unwrap_err().to_string(), "gave up waiting for a node: it exited");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
