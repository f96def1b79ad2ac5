//! What the keys signed since a record was saved, gathered from where an operator says it can be found.

use crate::backup_args::FloorFlags;
use crate::claims::KeyClaim;
use crate::comet_rpc;
use crate::error::CliError;
use crate::key_transfer::{STATE_FILE_BYTES_MAX, read_text};
use crate::operator::argument;
use crate::output;
use interlock_core::KeyName;
use interlock_node::{FloorSource, HEAD_MARGIN_HEIGHTS};
use interlock_signer::read_watermark;
use std::path::Path;

impl FloorFlags {
    /// No word on anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.watermarks.is_empty()
            && self.claims.is_none()
            && self.comet_rpc.is_empty()
            && self.bump_heights.is_none()
    }

    /// Reads and asks every source. Nothing has been made yet, so every failure is final.
    pub(crate) fn gather(&self) -> Result<Vec<FloorSource>, CliError> {
        if self.is_empty() {
            return Err(CliError::FloorsMissing);
        }
        let mut sources = Vec::new();
        for file in &self.watermarks {
            sources.push(watermark(file)?);
        }
        if let Some(file) = &self.claims {
            sources.extend(claims(file)?);
        }
        for url in &self.comet_rpc {
            let unknown = |problem| CliError::ChainHead { url: url.clone(), problem };
            let comet_rpc::Head { chain_id, height } = comet_rpc::head(url).map_err(unknown)?;
            output::note(&format!(
                "chain {chain_id} stands at height {height}; the largest window and {HEAD_MARGIN_HEIGHTS} heights are \
                 excluded beyond it"
            ));
            sources.push(FloorSource::Head { chain_id, height });
        }
        sources.extend(self.bump_heights.map(|heights| FloorSource::Bump { heights }));
        Ok(sources)
    }
}

fn input(file: &Path, problem: &impl std::fmt::Display) -> CliError {
    CliError::InputFile { path: file.to_owned(), problem: problem.to_string() }
}

fn watermark(file: &Path) -> Result<FloorSource, CliError> {
    let found = read_watermark(file).map_err(|error| input(file, &error))?;
    let resolved = file.canonicalize().map_err(|error| input(file, &error))?;
    Ok(FloorSource::Watermark { key: found.key, claim: found.claim, file: resolved })
}

fn claims(file: &Path) -> Result<Vec<FloorSource>, CliError> {
    let text = read_text(file, STATE_FILE_BYTES_MAX).map_err(|error| input(file, &error))?;
    let mut sources = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |problem: String| input(file, &format!("line {number}: {problem}"));
        let line: KeyClaim = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let key = argument("name", &line.name, KeyName::parse(&line.name))?;
        let claim = line.claim().map_err(|error| wrong(error.to_string()))?;
        sources.push(FloorSource::Claim { key, claim });
    }
    if sources.is_empty() {
        return Err(input(file, &"it holds no claim"));
    }
    Ok(sources)
}
