//! The files of the demo, in one scratch directory: certificates, configurations, a key. As an operator would write
//! them; removed at the end.

use super::DemoError;
use super::ports::free_ports;
use crate::new_files::{NewFile, create_all};
use crate::pki::{self, PkiError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use interlock_proto::{Identity, Role};
use interlock_toychain::{Address, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub(super) const NODE_COUNT: u64 = 3;
pub(super) const CHAIN_ID: &str = "interlock-demo-1";
pub(super) const KEY_NAME: &str = "val";
/// The signers, by falling priority; each serves the validator node of the same index.
pub(super) const SIGNERS: [&str; 2] = ["alpha", "beta"];
/// Certificates of the demo outlive it by far.
const VALID_DAYS: u32 = 1;

/// The scratch directory and what is in it.
pub(super) struct World {
    directory: tempfile::TempDir,
    members: String,
    guards: String,
    addresses: Vec<[String; 3]>,
    validator: SigningKey,
}

impl World {
    pub(super) fn create() -> Result<Self, DemoError> {
        let directory =
            tempfile::Builder::new().prefix("interlock-demo-").tempdir().map_err(DemoError::Scratch)?;
        let (mut members, mut guards, mut addresses) = (String::new(), String::new(), Vec::new());
        let mut ports =
            free_ports(3 * NODE_COUNT as usize)?.into_iter().map(|port| format!("127.0.0.1:{port}"));
        for id in 1..=NODE_COUNT {
            let [peers, clients, http] = [(); 3].map(|()| ports.next().unwrap_or_default());
            members +=
                &format!("\n[[member]]\nid = {id}\npeer_address = {peers:?}\nclient_address = {clients:?}\n");
            guards += &format!("\n[[guard]]\nid = {id}\naddress = {clients:?}\n");
            addresses.push([peers, clients, http]);
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| DemoError::Random(error.to_string()))?;
        let validator = SigningKey::from_bytes(&seed);
        let world = Self { directory, members, guards, addresses, validator };
        world.write_files()?;
        Ok(world)
    }

    fn write_files(&self) -> Result<(), DemoError> {
        let pki = self.path("pki");
        pki::create_authority(&pki, VALID_DAYS)?;
        let mut owners = vec![(Role::Operator, "demo".to_owned())];
        owners.extend((1..=NODE_COUNT).map(|id| (Role::Node, id.to_string())));
        owners.extend(SIGNERS.map(|name| (Role::Signer, name.to_owned())));
        for (role, name) in owners {
            let identity = Identity::new(&name, role).map_err(PkiError::from)?;
            pki::issue_certificate(&pki, &identity, VALID_DAYS)?;
        }
        let key = NewFile { path: self.path("priv_validator_key.json"), mode: 0o600, text: &self.key_file() };
        create_all(self.directory(), &[key]).map_err(PkiError::from)?;
        self.write("operator.toml", &(self.tls("operator-demo") + &self.guards))?;
        for id in 1..=NODE_COUNT {
            self.write(&format!("node-{id}.toml"), &self.node_config(id))?;
        }
        Ok(())
    }

    fn node_config(&self, id: u64) -> String {
        let [peers, clients, http] = &self.addresses[id as usize - 1];
        let data = self.path(&format!("node-{id}"));
        format!("node_id = {id}\ndata_dir = {data:?}\n")
            + &self.tls(&format!("node-{id}"))
            + &format!("\n[listen]\npeers = {peers:?}\nclients = {clients:?}\nhttp = {http:?}\n")
            + &self.members
    }

    /// Writes the configuration of a signer, once it is known where its validator node listens; returns its name.
    pub(super) fn write_signer(
        &self,
        name: &str,
        node: usize,
        address: &Address,
    ) -> Result<String, DemoError> {
        let (state, key_file) = (self.path(&format!("signer-{name}")), self.path("priv_validator_key.json"));
        let mut text =
            format!("state_dir = {state:?}\n") + &self.tls(&format!("signer-{name}")) + &self.guards;
        let _infallible = write!(
            text,
            "\n[[key]]\nname = {KEY_NAME:?}\nchain_id = {CHAIN_ID:?}\nkey_file = {key_file:?}\n\
             \n[[key.node]]\nname = \"validator-{node}\"\naddress = \"{address}\"\n"
        );
        let file = format!("signer-{name}.toml");
        self.write(&file, &text)?;
        Ok(file)
    }

    fn tls(&self, stem: &str) -> String {
        let file = |name: String| self.path("pki").join(name);
        let (ca, cert, key) =
            (file("ca.pem".into()), file(format!("{stem}.pem")), file(format!("{stem}.key")));
        format!("\n[tls]\nca = {ca:?}\ncert = {cert:?}\nkey = {key:?}\n")
    }

    /// The key as CometBFT keeps it.
    fn key_file(&self) -> String {
        let public = self.validator.verifying_key();
        let address: String =
            Sha256::digest(public.as_bytes())[..20].iter().map(|byte| format!("{byte:02X}")).collect();
        let document = serde_json::json!({
            "address": address,
            "pub_key": {"type": "tendermint/PubKeyEd25519", "value": BASE64.encode(public.as_bytes())},
            "priv_key": {
                "type": "tendermint/PrivKeyEd25519",
                "value": BASE64.encode(self.validator.to_keypair_bytes()),
            },
        });
        document.to_string()
    }

    pub(super) fn public_key(&self) -> VerifyingKey {
        self.validator.verifying_key()
    }

    pub(super) fn public_key_text(&self) -> String {
        BASE64.encode(self.public_key().as_bytes())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, name: &str, text: &str) -> Result<(), DemoError> {
        std::fs::write(self.path(name), text).map_err(DemoError::Scratch)
    }
}
