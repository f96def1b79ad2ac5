//! The few RPC questions the checks ask a node, over plain HTTP/1.0 (so that the body ends with the connection).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::json::{self, JsonError};

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer read; a block of these networks is a few kilobytes.
const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A node gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// No connection, or it broke.
    #[error("http://{address}{path}: {source}")]
    Connection {
        /// The node.
        address: SocketAddr,
        /// The question.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The answer is not HTTP with a JSON body.
    #[error("http://{address}{path}: answer is not JSON over HTTP: {answer}")]
    Malformed {
        /// The node.
        address: SocketAddr,
        /// The question.
        path: String,
        /// The start of the answer.
        answer: String,
    },
    /// The node answered with an error.
    #[error("http://{address}{path}: the node says {error}")]
    Refused {
        /// The node.
        address: SocketAddr,
        /// The question.
        path: String,
        /// Its error.
        error: String,
    },
    /// The answer lacks something.
    #[error(transparent)]
    Shape(#[from] JsonError),
    /// A signature is not base64.
    #[error("the signature in the commit of height {height} is not base64")]
    Signature {
        /// The height.
        height: u64,
    },
    /// The node has not committed this height for good yet.
    #[error("the commit of height {height} is not canonical yet")]
    NotCanonical {
        /// The height.
        height: u64,
    },
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its latest committed height; 0 before the first block.
    pub height: u64,
    /// Whether it is still replaying blocks.
    pub catching_up: bool,
}

/// How a validator appears in a commit (CometBFT `BlockIDFlag`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoteFlag {
    /// No vote of it was included.
    Absent,
    /// It voted for the block.
    Block,
    /// It voted nil.
    Nil,
}

/// One validator's part of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitVote {
    /// How it voted.
    pub flag: VoteFlag,
    /// Its address in upper hex; empty when absent.
    pub address: String,
    /// Its signature; empty when absent.
    pub signature: Vec<u8>,
}

/// The RPC endpoint of one node.
#[derive(Debug, Clone, Copy)]
pub struct Rpc {
    address: SocketAddr,
}

impl Rpc {
    /// The endpoint at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Height and whether the node is catching up.
    pub fn status(&self) -> Result<Status, RpcError> {
        let result = self.ask("/status")?;
        Ok(Status {
            height: json::number(&result, "/sync_info/latest_block_height")?,
            catching_up: json::truth(&result, "/sync_info/catching_up")?,
        })
    }

    /// Number of connected peers.
    pub fn peer_count(&self) -> Result<u64, RpcError> {
        Ok(json::number(&self.ask("/net_info")?, "/n_peers")?)
    }

    /// The canonical commit of `height`, one entry per validator; an error while only a later height can make it final.
    pub fn commit(&self, height: u64) -> Result<Vec<CommitVote>, RpcError> {
        let result = self.ask(&format!("/commit?height={height}"))?;
        if !json::truth(&result, "/canonical")? {
            return Err(RpcError::NotCanonical { height });
        }
        let signatures = json::array(&result, "/signed_header/commit/signatures")?;
        signatures.iter().map(|signature| commit_vote(signature, height)).collect()
    }

    /// The evidence in the block of `height`, each item as JSON text.
    pub fn evidence(&self, height: u64) -> Result<Vec<String>, RpcError> {
        let result = self.ask(&format!("/block?height={height}"))?;
        let shown = json::number(&result, "/block/header/height")?;
        if shown != height {
            let answer = format!("block {shown} instead of {height}");
            return Err(RpcError::Malformed { address: self.address, path: "/block".into(), answer });
        }
        let items = json::array(&result, "/block/evidence/evidence")?;
        Ok(items.iter().map(Value::to_string).collect())
    }

    /// Hands the node a transaction and returns once it is in its mempool. `transaction` is plain ASCII.
    pub fn send_transaction(&self, transaction: &str) -> Result<(), RpcError> {
        let path = format!("/broadcast_tx_sync?tx=%22{transaction}%22");
        let result = self.ask(&path)?;
        match json::number(&result, "/code")? {
            0 => Ok(()),
            _ => Err(RpcError::Refused { address: self.address, path, error: result.to_string() }),
        }
    }

    fn ask(&self, path: &str) -> Result<Value, RpcError> {
        let Self { address } = *self;
        let answer = self.exchange(path).map_err(|source| RpcError::Connection {
            address,
            path: path.to_owned(),
            source,
        })?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let mut document: Value = serde_json::from_str(body).map_err(|_| RpcError::Malformed {
            address,
            path: path.to_owned(),
            answer: answer.chars().take(400).collect(),
        })?;
        match document.get_mut("result").map(Value::take) {
            Some(result) => Ok(result),
            None => {
                let error = document.get("error").unwrap_or(&document).to_string();
                Err(RpcError::Refused { address, path: path.to_owned(), error })
            }
        }
    }

    fn exchange(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address)?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        Ok(answer)
    }
}

fn commit_vote(signature: &Value, height: u64) -> Result<CommitVote, RpcError> {
    let flag = match json::number(signature, "/block_id_flag")? {
        1 => VoteFlag::Absent,
        2 => VoteFlag::Block,
        3 => VoteFlag::Nil,
        _ => return Err(RpcError::Signature { height }),
    };
    if flag == VoteFlag::Absent {
        return Ok(CommitVote { flag, address: String::new(), signature: Vec::new() });
    }
    let bytes = BASE64.decode(json::text(signature, "/signature")?);
    Ok(CommitVote {
        flag,
        address: json::text(signature, "/validator_address")?.to_owned(),
        signature: bytes.map_err(|_| RpcError::Signature { height })?,
    })
}
