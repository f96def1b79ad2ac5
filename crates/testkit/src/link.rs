//! A network link on loopback that can be cut without anybody being told, and healed.
//!
//! While it is cut, connections stay open and nothing passes: bytes already sent are held, as a network holds what it
//! will retransmit, and arrive after healing. New connections are accepted by the system and hear nothing.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a pump waits for bytes before it looks at the state of the link again.
const READ_PATIENCE: Duration = Duration::from_millis(50);
/// Pause of the acceptor between two looks for a new connection.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(5);
/// How long the far end may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes moved at once.
const BUFFER_BYTES: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Cut,
    Closed,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    fn set(&self, state: State) {
        *self.lock() = state;
        self.changed.notify_all();
    }

    /// Blocks while the link is cut; false when it was closed.
    fn wait_until_open(&self) -> bool {
        let state = self.changed.wait_while(self.lock(), |state| *state == State::Cut);
        *state.expect("no thread panics while it holds the state") == State::Open
    }

    fn closed(&self) -> bool {
        *self.lock() == State::Closed
    }
}

/// A TCP link from a local address of its own to one target.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Link {
    /// Opens a link that listens on a free loopback port and leads to `target`.
    pub fn to(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { state: Mutex::new(State::Open), changed: Condvar::new() });
        let for_acceptor = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || accept_all(&listener, target, &for_acceptor));
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the link silently, in both directions.
    pub fn cut(&self) {
        self.shared.set(State::Cut);
    }

    /// Heals the link; what was held is delivered.
    pub fn heal(&self) {
        self.shared.set(State::Open);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.set(State::Closed);
        if let Some(acceptor) = self.acceptor.take() {
            // A panic in the acceptor has been printed by its thread already.
            let _ = acceptor.join();
        }
    }
}

fn accept_all(listener: &TcpListener, target: SocketAddr, shared: &Arc<Shared>) {
    while shared.wait_until_open() {
        match listener.accept() {
            Ok((near, _)) => {
                let shared = Arc::clone(shared);
                std::thread::spawn(move || connect_and_pump(near, target, &shared));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(ACCEPT_INTERVAL),
            // A client that gave up while it was queued; the next accept decides.
            Err(_) => std::thread::sleep(ACCEPT_INTERVAL),
        }
    }
}

/// Joins `near` to the target. When the target refuses, `near` is closed, as a host without a listener would do.
fn connect_and_pump(near: TcpStream, target: SocketAddr, shared: &Arc<Shared>) {
    if near.set_nonblocking(false).is_err() || !shared.wait_until_open() {
        return;
    }
    let Ok(far) = TcpStream::connect_timeout(&target, CONNECT_TIMEOUT) else { return };
    let (Ok(near_reader), Ok(far_reader)) = (near.try_clone(), far.try_clone()) else { return };
    let (_, _) = (near.set_nodelay(true), far.set_nodelay(true));
    let back = Arc::clone(shared);
    std::thread::spawn(move || pump(far_reader, near, &back));
    pump(near_reader, far, shared);
}

/// Moves bytes one way until either end closes. Bytes read while the link is cut wait here.
fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut buffer = [0_u8; BUFFER_BYTES];
    let patient = from.set_read_timeout(Some(READ_PATIENCE));
    while patient.is_ok() && !shared.closed() {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if is_timeout(&error) => continue,
            Err(_) => break,
        };
        if !shared.wait_until_open() || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // The end of a stream is news too: it may not pass a cut link.
    shared.wait_until_open();
    let (_, _) = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers every byte with the same byte.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
                });
            }
        });
        address
    }

    fn connect(link: &Link) -> TcpStream {
        let stream = TcpStream::connect(link.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn ask(stream: &mut TcpStream, byte: u8) -> io::Result<u8> {
        stream.write_all(&[byte])?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        Ok(answer[0])
    }

    /// True when the stream stays open and silent for a while.
    fn is_silent(stream: &mut TcpStream) -> bool {
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let silent = matches!(stream.read(&mut [0]), Err(error) if is_timeout(&error));
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        silent
    }

    #[test]
    fn a_cut_is_silent_and_healing_delivers_what_was_sent_meanwhile() {
        let link = Link::to(echo()).unwrap();
        let mut stream = connect(&link);
        assert_eq!(ask(&mut stream, 1).unwrap(), 1);
        link.cut();
        stream.write_all(&[2]).unwrap();
        assert!(is_silent(&mut stream), "a byte or an end passed the cut");
        link.heal();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [2]);
    }

    #[test]
    fn a_connection_made_during_the_cut_hears_nothing_until_it_heals() {
        let link = Link::to(echo()).unwrap();
        link.cut();
        let mut stream = connect(&link);
        stream.write_all(&[7]).unwrap();
        assert!(is_silent(&mut stream));
        link.heal();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [7]);
    }

    #[test]
    fn a_target_that_is_gone_closes_the_connection() {
        let gone = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let link = Link::to(gone).unwrap();
        assert!(ask(&mut connect(&link), 1).is_err());
    }
}
