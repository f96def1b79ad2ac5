//! Compiles `proto/` into Rust, without a system protoc.

use std::path::PathBuf;

const FILES: [&str; 5] = [
    "interlock/v1/types.proto",
    "interlock/v1/guard.proto",
    "interlock/v1/operator.proto",
    "interlock/v1/membership.proto",
    "interlock/raft/v1/raft.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [&root])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
