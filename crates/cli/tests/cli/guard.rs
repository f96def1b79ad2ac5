//! A guard of one node, run through the binary: what operators and signers meet on a cluster that works.

use crate::support::Scratch;
use interlock_testkit::ports::free_port;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Far longer than an election takes on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// A process that ends with the test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; the test has judged that already.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

impl Running {
    pub(crate) fn start(scratch: &Scratch, line: &str, log: &str) -> Self {
        let log = std::fs::File::create(scratch.path(log)).unwrap();
        let mut command = scratch.command(line);
        Self(command.arg("--end-with-stdin").stdin(Stdio::piped()).stderr(log).spawn().unwrap())
    }

    /// Closes its stdin and waits for its end; returns its exit code.
    pub(crate) fn end(mut self) -> i32 {
        drop(self.0.stdin.take());
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().expect("it ended by itself");
            }
            assert!(Instant::now() < deadline, "it did not end after its stdin closed");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A guard of one node that leads.
pub(crate) struct Guard {
    pub(crate) scratch: Scratch,
    pub(crate) cluster_id: String,
    pub(crate) clients: String,
    pub(crate) node: Option<Running>,
}

pub(crate) fn tls(owner: &str) -> String {
    format!("[tls]\nca = \"pki/ca.pem\"\ncert = \"pki/{owner}.pem\"\nkey = \"pki/{owner}.key\"\n")
}

/// Writes `<name>.toml` for a node; returns its client address.
pub(crate) fn write_node(scratch: &Scratch, name: &str, id: u64, data: &str, members: &[u64]) -> String {
    let address = || format!("127.0.0.1:{}", free_port().unwrap());
    let (peers, clients) = (address(), address());
    let mut text = format!("node_id = {id}\ndata_dir = \"{data}\"\n{}", tls(&format!("node-{id}")));
    text += &format!("[listen]\npeers = \"{peers}\"\nclients = \"{clients}\"\n");
    for member in members {
        let (peers, clients) =
            if *member == id { (peers.clone(), clients.clone()) } else { (address(), address()) };
        text += &format!(
            "[[member]]\nid = {member}\npeer_address = \"{peers}\"\nclient_address = \"{clients}\"\n"
        );
    }
    scratch.write(&format!("{name}.toml"), &text);
    clients
}

impl Guard {
    pub(crate) fn start() -> Self {
        let scratch = Scratch::new();
        assert_eq!(scratch.run("pki init --dir pki").code, 0);
        for (role, name) in
            [("node", "1"), ("operator", "ops"), ("viewer", "eyes"), ("signer", "alpha"), ("signer", "gamma")]
        {
            assert_eq!(scratch.run(&format!("pki issue --dir pki --role {role} --name {name}")).code, 0);
        }
        let clients = write_node(&scratch, "node", 1, "data", &[1]);
        for (name, owner) in
            [("operator", "operator-ops"), ("viewer", "viewer-eyes"), ("stranger", "signer-alpha")]
        {
            scratch.write(&format!("{name}.toml"), &(tls(owner) + &guard_section(&clients)));
        }
        let formatted = scratch.run("node format --config node.toml");
        assert_eq!(formatted.code, 0, "{formatted:?}");
        let cluster_id = formatted.stdout.trim().to_owned();
        let node = Some(Running::start(&scratch, "node start --config node.toml", "node.log"));
        let guard = Self { scratch, cluster_id, clients, node };
        guard.wait_for_leader();
        guard
    }

    pub(crate) fn wait_for_leader(&self) {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let ended = self.scratch.run("cluster status --config operator.toml --output json");
            let view: Option<serde_json::Value> = serde_json::from_str(&ended.stdout).ok();
            if view.is_some_and(|view| view["leader"] == 1) {
                return;
            }
            let log = std::fs::read_to_string(self.scratch.path("node.log")).unwrap();
            assert!(Instant::now() < deadline, "no leader: {ended:?}\n{log}");
        }
    }

    /// Waits until a process has written this into its log.
    pub(crate) fn wait_for_log(&self, log: &str, part: &str) {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let text = std::fs::read_to_string(self.scratch.path(log)).unwrap();
            if text.contains(part) {
                return;
            }
            assert!(Instant::now() < deadline, "{log} lacks {part:?}: {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a command that must do what it says; returns its JSON.
    pub(crate) fn json(&self, line: &str) -> serde_json::Value {
        let ended = self.scratch.run(&format!("{line} --config operator.toml --output json"));
        assert_eq!(ended.code, 0, "{line}: {ended:?}");
        assert_eq!(ended.stdout.matches('\n').count(), 1, "one line: {ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Runs a command that must fail with this exit code and error code.
    pub(crate) fn refused(&self, line: &str, exit: i32, code: &str) -> String {
        let ended = self.scratch.run(line);
        assert!(ended.code == exit && ended.stderr.contains(&format!("error {code}: ")), "{line}: {ended:?}");
        assert_eq!(ended.stdout, "", "{line}: {ended:?}");
        ended.stderr
    }
}

pub(crate) fn guard_section(clients: &str) -> String {
    format!("[[guard]]\nid = 1\naddress = \"{clients}\"\n")
}
