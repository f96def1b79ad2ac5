//! Free loopback ports for the demo's nodes, which must know each other's addresses before any of them runs.
//!
//! Below 32768, where Linux begins to take ports for outgoing connections: those would come between choosing and using.

use super::DemoError;
use std::net::TcpListener;

const FIRST_PORT: u16 = 12_000;
const LAST_PORT: u16 = 30_999;

/// `count` different ports that are free now, starting the search where chance says.
pub(super) fn free_ports(count: usize) -> Result<Vec<u16>, DemoError> {
    let span = LAST_PORT - FIRST_PORT + 1;
    let start = super::random_u16()? % span;
    let ports: Vec<u16> = (0..span)
        .map(|step| FIRST_PORT + (start + step) % span)
        .filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .take(count)
        .collect();
    if ports.len() == count {
        Ok(ports)
    } else {
        Err(DemoError::NoPorts { first: FIRST_PORT, last: LAST_PORT })
    }
}
