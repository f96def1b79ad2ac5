//! What a node of a CometBFT chain tells: its head and its commits, over plain HTTP.
//!
//! A node that is catching up, or that does not say so, is no witness: its head is older than what the key may have
//! signed. Nothing is concluded from what is found here. Everything blocks, for a bounded time; errors are for people.

use serde_json::Value;
use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

/// Longest wait for one answer from one address, connecting included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for all answers of one node: room for a thousand commits from far away.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(180);
/// A status has about 2 KiB, a commit of 200 validators about 50 KiB.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// A chain and its newest height.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) chain_id: String,
    pub(crate) height: u64,
}

/// Asks the node at `url`, `http://HOST:PORT`, for the head of its chain.
pub(crate) fn head(url: &str) -> Result<Head, String> {
    CometNode::at(url)?.head()
}

/// A node that is asked more than once.
pub(crate) struct CometNode {
    host: String,
    addresses: Vec<SocketAddr>,
    deadline: Instant,
}

impl CometNode {
    /// The node at `url`, `http://HOST:PORT`. The time for all its answers begins.
    pub(crate) fn at(url: &str) -> Result<Self, String> {
        let host = url.strip_prefix("http://").ok_or("it does not begin with http://")?.trim_end_matches('/');
        let addresses = host.to_socket_addrs().map_err(|error| error.to_string())?.collect();
        Ok(Self { host: host.to_owned(), addresses, deadline: Instant::now() + TOTAL_TIMEOUT })
    }

    pub(crate) fn head(&self) -> Result<Head, String> {
        head_of(&self.get("/status")?)
    }

    /// The answer on the commit of one height, unread.
    pub(crate) fn commit(&self, height: u64) -> Result<Value, String> {
        self.get(&format!("/commit?height={height}"))
    }

    fn get(&self, path: &str) -> Result<Value, String> {
        let mut failure = "it names no address".to_owned();
        for address in &self.addresses {
            let deadline = self.deadline.min(Instant::now() + TIMEOUT);
            match ask(address, &self.host, path, deadline) {
                Ok(answer) => return body_of(&answer),
                Err(error) => failure = error.to_string(),
            }
        }
        Err(failure)
    }
}

fn ask(address: &SocketAddr, host: &str, path: &str, deadline: Instant) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(address, left(deadline)?)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    // Version 1.0, so that the answer comes whole and ends with the connection.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut part = [0; 16 * 1024];
    loop {
        // A node that sends byte by byte does not get more time for it.
        stream.set_read_timeout(Some(left(deadline)?))?;
        let read = match stream.read(&mut part) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(late()),
            read => read?,
        };
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&part[..read]);
        if answer.len() as u64 > ANSWER_BYTES_MAX {
            return Err(Error::new(ErrorKind::InvalidData, "its answer is longer than 1 MiB"));
        }
    }
    String::from_utf8(answer).map_err(|_| Error::new(ErrorKind::InvalidData, "its answer is no text"))
}

fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(late()) } else { Ok(left) }
}

fn late() -> Error {
    Error::new(ErrorKind::TimedOut, "it took too long")
}

fn body_of(answer: &str) -> Result<Value, String> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("it gave no HTTP answer")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        return Err(format!("it answered with HTTP status {status:?}"));
    }
    serde_json::from_str(body).map_err(|error| format!("its answer is no JSON: {error}"))
}

/// One field of an answer, or the words that it is missing.
pub(crate) fn field<'a>(body: &'a Value, pointer: &str) -> Result<&'a Value, String> {
    body.pointer(pointer).ok_or_else(|| format!("its answer has no {pointer}"))
}

/// A height, which CometBFT writes as text.
pub(crate) fn height_at(body: &Value, pointer: &str) -> Result<u64, String> {
    let height = field(body, pointer)?.as_str().ok_or("its height is no text")?;
    height.parse().map_err(|_| format!("its height {height:?} is no number"))
}

fn head_of(body: &Value) -> Result<Head, String> {
    let chain_id = field(body, "/result/node_info/network")?.as_str().ok_or("its network is no text")?;
    match field(body, "/result/sync_info/catching_up")?.as_bool() {
        Some(false) => {}
        Some(true) => return Err("it is catching up: its head is older than the chain's".to_owned()),
        None => return Err("it does not say whether it is catching up".to_owned()),
    }
    let height = height_at(body, "/result/sync_info/latest_block_height")?;
    Ok(Head { chain_id: chain_id.to_owned(), height })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(answer: &str) -> Result<Head, String> {
        head_of(&body_of(answer)?)
    }

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
    #[test]
    fn a_node_that_does_not_answer_in_time_is_left() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        for patience in [Duration::ZERO, Duration::from_millis(50)] {
            let late = ask(&address, "localhost", "/status", Instant::now() + patience).unwrap_err();
            assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        }
    }
}
