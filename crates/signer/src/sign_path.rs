//! From a node's request to an answer, for one key.
//!
//! Order, and nothing may be moved before what stands above it: local veto, lease, pending mark on disk together with
//! the guard's approval, permit, signature, tap, answer. Keeps S2 (approve before sign; unknown never signs) and S7.

use crate::backend::{Backend, Guarded, Signed};
use crate::config::Timing;
use crate::health::KeyBoard;
use crate::lease_wait::LeaseWait;
use crate::tap::{Tap, kind_of};
use crate::watermark::{Attempt, LocalRefusal, Mark, Watermark};
use interlock_chains::cometbft::{
    RequestError, RequestKind, error_reply, parse_sign_proposal, parse_sign_vote,
};
use interlock_client::{ApproveOutcome, Guard, KeyView, Permit, Refusal};
use interlock_core::{ChainId, Epoch, Holder, KeyName, NodeName, Rule};
use interlock_privval::{Message, SignProposalRequest, SignVoteRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::{Instant, timeout_at};

/// Kept of the answer's deadline for signing and answering.
const ANSWER_MARGIN: Duration = Duration::from_millis(50);

/// Everything that signs for one key.
#[derive(Debug)]
pub(crate) struct SignPath {
    pub(crate) name: KeyName,
    pub(crate) chain_id: ChainId,
    pub(crate) backend: Backend,
    /// Held by one request at a time, from the local veto to the signature.
    pub(crate) watermark: Arc<Mutex<Watermark>>,
    pub(crate) guard: Guard,
    pub(crate) me: Holder,
    pub(crate) view: watch::Receiver<Option<KeyView>>,
    pub(crate) board: KeyBoard,
    pub(crate) tap: Option<Arc<Tap>>,
    pub(crate) timing: Timing,
}

/// Why a request is answered with an error. The text goes to the node.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Local(#[from] LocalRefusal),
    #[error("{0}")]
    NoLease(String),
    #[error("{0}")]
    Denied(Refusal),
    #[error("the guard is not available, nothing was approved: {0}")]
    Unavailable(String),
    #[error("the guard's answer is unknown, so nothing is signed: {0}")]
    Unknown(String),
    #[error("no answer in time; nothing was sent")]
    Late,
    #[error("an earlier request for this key is still under way")]
    Busy,
    #[error("internal error, nothing was signed: {0}")]
    Internal(String),
}

impl SignPath {
    /// Answers one vote request.
    pub(crate) async fn sign_vote(self: &Arc<Self>, request: SignVoteRequest, node: &NodeName) -> Message {
        let parsed = parse_sign_vote(&self.chain_id, request, node).map(Guarded::Vote);
        self.answer(RequestKind::Vote, parsed, node).await
    }

    /// Answers one proposal request.
    pub(crate) async fn sign_proposal(
        self: &Arc<Self>,
        request: SignProposalRequest,
        node: &NodeName,
    ) -> Message {
        let parsed = parse_sign_proposal(&self.chain_id, request, node).map(Guarded::Proposal);
        self.answer(RequestKind::Proposal, parsed, node).await
    }

    async fn answer(
        self: &Arc<Self>,
        kind: RequestKind,
        parsed: Result<Guarded, RequestError>,
        node: &NodeName,
    ) -> Message {
        let message = match parsed {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(key = %self.name, %node, "request refused: {error}");
                return error_reply(kind, &error.to_string());
            }
        };
        let asked = message.position();
        self.board.asked(asked);
        let deadline = Instant::now() + self.timing.answer_deadline();
        // A task of its own: a disk that hangs must not keep the node waiting, and the work on the watermark must not
        // be dropped half way.
        let work = tokio::spawn(Arc::clone(self).decide(message, deadline - ANSWER_MARGIN));
        let result = match timeout_at(deadline, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(join_error)) => Err(Refused::Internal(join_error.to_string())),
            Err(_) => Err(Refused::Late),
        };
        match result {
            Ok(reply) => {
                self.board.signed(asked);
                tracing::debug!(key = %self.name, %node, %asked, "signed");
                reply
            }
            Err(refused) => {
                tracing::warn!(key = %self.name, %node, %asked, "refused: {refused}");
                error_reply(kind, &refused.to_string())
            }
        }
    }

    async fn decide(self: Arc<Self>, message: Guarded, deadline: Instant) -> Result<Message, Refused> {
        let hold_until = deadline.min(Instant::now() + self.timing.hold());
        let mark = Mark { position: message.position(), payload: message.payload() };
        let mut after = None;
        loop {
            let wait = LeaseWait { me: &self.me, asked: mark.position, until: hold_until, after };
            let epoch = wait.run(self.view.clone()).await.map_err(Refused::NoLease)?;
            let turn = timeout_at(deadline, Arc::clone(&self.watermark).lock_owned());
            let watermark = turn.await.map_err(|_| Refused::Busy)?;
            match self.attempt(watermark, &message, mark, epoch, deadline).await {
                // The lease moved while the view stood still: perhaps to this process, under a new epoch.
                Err(Refused::Denied(refusal))
                    if is_about_the_lease(&refusal) && Instant::now() < hold_until =>
                {
                    tracing::debug!(key = %self.name, %epoch, "the lease has moved: {refusal}");
                    after = Some(epoch);
                }
                result => return result,
            }
        }
    }

    async fn attempt(
        &self,
        watermark: OwnedMutexGuard<Watermark>,
        message: &Guarded,
        mark: Mark,
        epoch: Epoch,
        deadline: Instant,
    ) -> Result<Message, Refused> {
        watermark.check(mark).inspect_err(|refusal| self.note_failure(refusal))?;
        let intent = message.intent();
        let written = self.on_disk(watermark, move |watermark| watermark.begin(mark));
        let approved = self.guard.approve(self.backend.key(), epoch, &intent, deadline);
        let (written, outcome) = tokio::join!(written, approved);
        let (mut watermark, attempt) = written?;
        match outcome {
            ApproveOutcome::Permitted(permit) => {
                if Instant::now() >= deadline {
                    return Err(Refused::Late);
                }
                let reply = self.sign(permit, message)?;
                watermark.signed(attempt);
                Ok(reply)
            }
            ApproveOutcome::Denied { refusal, after_unknown: false } => {
                self.withdraw(watermark, attempt).await?;
                Err(Refused::Denied(refusal))
            }
            // The attempt before the denial may have been approved: the mark stays.
            ApproveOutcome::Denied { refusal, after_unknown: true } => {
                Err(Refused::Unknown(format!("an attempt was lost, then {refusal}")))
            }
            ApproveOutcome::Unavailable { message } => {
                self.withdraw(watermark, attempt).await?;
                Err(Refused::Unavailable(message))
            }
            ApproveOutcome::Unknown(cause) => Err(Refused::Unknown(cause.to_string())),
        }
    }

    async fn withdraw(&self, watermark: OwnedMutexGuard<Watermark>, attempt: Attempt) -> Result<(), Refused> {
        self.on_disk(watermark, move |watermark| watermark.withdraw(attempt)).await.map(|_| ())
    }

    /// Runs work on the watermark where blocking is allowed; the lock goes along and comes back.
    async fn on_disk<T: Send + 'static>(
        &self,
        mut watermark: OwnedMutexGuard<Watermark>,
        work: impl FnOnce(&mut Watermark) -> Result<T, LocalRefusal> + Send + 'static,
    ) -> Result<(OwnedMutexGuard<Watermark>, T), Refused> {
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&mut watermark);
            (watermark, result)
        });
        match done.await {
            Ok((watermark, Ok(value))) => Ok((watermark, value)),
            Ok((_, Err(refusal))) => {
                self.note_failure(&refusal);
                Err(refusal.into())
            }
            Err(error) => {
                self.board.unfit();
                Err(Refused::Internal(error.to_string()))
            }
        }
    }

    fn note_failure(&self, refusal: &LocalRefusal) {
        if matches!(refusal, LocalRefusal::Failed { .. }) {
            self.board.unfit();
            tracing::error!(key = %self.name, "{refusal}");
        }
    }

    fn sign(&self, permit: Permit, message: &Guarded) -> Result<Message, Refused> {
        let internal = |error: &dyn std::error::Error| Refused::Internal(error.to_string());
        let position = message.position();
        let Signed { sign_bytes, signature, timestamp } =
            self.backend.sign(permit, message).map_err(|error| internal(&error))?;
        let record = |kind, bytes: &[u8], signature: &[u8]| match &self.tap {
            Some(tap) => tap.record(&self.chain_id, kind, position, bytes, signature),
            None => Ok(()),
        };
        record(kind_of(position), sign_bytes.as_bytes(), &signature).map_err(|error| internal(&error))?;
        match message {
            Guarded::Vote(vote) => {
                let mut extension_signature = None;
                if let Some(extension) = vote.extension_sign_bytes() {
                    let signature = self.backend.sign_extension(&extension);
                    record("extension", extension.as_bytes(), &signature)
                        .map_err(|error| internal(&error))?;
                    extension_signature = Some(signature);
                }
                let reply = vote.reply(&signature, extension_signature.as_deref(), timestamp);
                reply.map(Message::SignedVoteResponse).map_err(|error| internal(&error))
            }
            Guarded::Proposal(proposal) => {
                let reply = proposal.reply(&signature);
                reply.map(Message::SignedProposalResponse).map_err(|error| internal(&error))
            }
        }
    }
}

fn is_about_the_lease(refusal: &Refusal) -> bool {
    [Rule::HolderMatches, Rule::EpochCurrent].iter().any(|rule| rule.number() == refusal.rule)
}
