//! Log lines of the long-running processes, on stderr. `RUST_LOG` decides which.

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// The consensus library says much that only its authors need.
const DEFAULT_FILTER: &str = "info,openraft=warn";

/// Starts logging. Called once, by the commands that run until they are stopped.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).with_ansi(colours).init();
}
