//! The head of a CometBFT chain, as one of its nodes tells it: `GET /status`, over plain HTTP, once.
//!
//! A node that is catching up, or that does not say so, is no witness: its head is older than what the key may have
//! signed.

use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);
/// A status has about 2 KiB.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// A chain and its newest height.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) chain_id: String,
    pub(crate) height: u64,
}

/// Asks the node at `url`, `http://HOST:PORT`. Blocks; its errors are for people.
pub(crate) fn head(url: &str) -> Result<Head, String> {
    let host = url.strip_prefix("http://").ok_or("it does not begin with http://")?.trim_end_matches('/');
    let addresses = host.to_socket_addrs().map_err(|error| error.to_string())?;
    let mut failure = "it names no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, TIMEOUT).and_then(|stream| ask(stream, host)) {
            Ok(answer) => return parse(&answer),
            Err(error) => failure = error.to_string(),
        }
    }
    Err(failure)
}

fn ask(mut stream: TcpStream, host: &str) -> std::io::Result<String> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // Version 1.0, so that the answer comes whole and ends with the connection.
    let request = format!("GET /status HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

fn parse(answer: &str) -> Result<Head, String> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("it gave no HTTP answer")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        return Err(format!("it answered with HTTP status {status:?}"));
    }
    let body: Value =
        serde_json::from_str(body).map_err(|error| format!("its answer is no JSON: {error}"))?;
    let field = |pointer: &str| body.pointer(pointer).ok_or_else(|| format!("its answer has no {pointer}"));
    let chain_id = field("/result/node_info/network")?.as_str().ok_or("its network is no text")?;
    let height = field("/result/sync_info/latest_block_height")?.as_str().ok_or("its height is no text")?;
    match field("/result/sync_info/catching_up")?.as_bool() {
        Some(false) => {}
        Some(true) => return Err("it is catching up: its head is older than the chain's".to_owned()),
        None => return Err("it does not say whether it is catching up".to_owned()),
    }
    let height = height.parse().map_err(|_| format!("its height {height:?} is no number"))?;
    Ok(Head { chain_id: chain_id.to_owned(), height })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: &str, catching_up: &str, height: &str) -> String {
        format!(
            "HTTP/1.0 {status} x\r\nContent-Type: application/json\r\n\r\n{{\"result\":{{\"node_info\":{{\"network\":\
             \"c-1\"}},\"sync_info\":{{\"latest_block_height\":{height},\"catching_up\":{catching_up}}}}}}}"
        )
    }

    #[test]
    fn the_head_of_a_node_that_keeps_up_is_taken() {
        let head = parse(&answer("200", "false", "\"123\"")).unwrap();
        assert_eq!(head, Head { chain_id: "c-1".into(), height: 123 });
    }

    #[test]
    fn a_node_that_is_behind_or_unclear_is_no_witness() {
        for (status, catching_up, height, part) in [
            ("200", "true", "\"123\"", "catching up"),
            ("200", "null", "\"123\"", "does not say"),
            ("200", "false", "\"\"", "no number"),
            ("200", "false", "123", "no text"),
            ("502", "false", "\"123\"", "502"),
        ] {
            let error = parse(&answer(status, catching_up, height)).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(parse("").is_err() && parse("HTTP/1.0 200 OK\r\n\r\n{}").is_err());
        assert!(head("https://localhost:1").unwrap_err().contains("http://"));
    }
}
