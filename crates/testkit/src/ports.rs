//! Free loopback ports for processes that are restarted on the same address.
//!
//! The kernel hands out ports from 32768 up to outgoing connections (Linux default), so a port of that range that is
//! free now may be taken while its owner is down. We therefore stay below it.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST_PORT: u32 = 12_000;
const LAST_PORT: u32 = 30_999;
/// Distance between the starting points of two test processes, so that they rarely look at the same ports.
const STRIDE: u32 = 97;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The range holds no free port any more.
#[derive(Debug, thiserror::Error)]
#[error("no free loopback port between {FIRST_PORT} and {LAST_PORT}; end what listens there")]
pub struct NoFreePort;

/// A loopback port that is free now and that this process has not handed out before.
pub fn free_port() -> Result<u16, NoFreePort> {
    let span = LAST_PORT - FIRST_PORT + 1;
    let start = std::process::id().wrapping_mul(STRIDE) % span;
    for _ in 0..span {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_PORT + (start + turn) % span;
        let port = u16::try_from(port).expect("the range ends below 65536");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(NoFreePort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_outside_the_range_of_outgoing_connections() {
        let ports: std::collections::BTreeSet<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| (12_000..31_000).contains(port)));
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let taken = free_port().unwrap();
        let _held = TcpListener::bind(("127.0.0.1", taken)).unwrap();
        assert!((0..20).all(|_| free_port().unwrap() != taken));
    }
}
