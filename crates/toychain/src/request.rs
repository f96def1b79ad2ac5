//! One request for a signature, and what its answer is worth.
//!
//! Invariant: an answer counts as signed only after its signature was verified over the bytes that a node would put on
//! chain: the node's own request, with nothing taken from the answer but what a v0.38 node takes.

use crate::event::Step;
use ed25519_dalek::{Signature, VerifyingKey};
use interlock_privval::{
    Message, Proposal, RemoteSignerError, SignProposalRequest, SignVoteRequest, SignedMsgType,
    SignedVoteResponse, Vote, proposal_sign_bytes, vote_extension_sign_bytes, vote_sign_bytes,
};

/// What a node wants signed.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Proposal(Proposal),
    Vote(Vote),
}

/// What the signer's answer is worth.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A valid signature, and the bytes it is over.
    Signed { sign_bytes: Vec<u8>, signature: Vec<u8> },
    /// A refusal: final.
    Refused(RemoteSignerError),
    /// An answer that cannot be used.
    Invalid(Fault),
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error(
        "the signature of {length} bytes does not verify with the validator's key over the requested {step}"
    )]
    WrongSignature { step: Step, length: usize },
    #[error("the extension signature does not verify with the validator's key")]
    WrongExtensionSignature,
    #[error("a precommit for a block came without extension signature, at which a node panics")]
    MissingExtensionSignature,
    #[error("a {step} came with an extension signature, at which a node panics")]
    SurplusExtensionSignature { step: Step },
    #[error("the answer to a {step} is a {answer}")]
    OtherKind { step: Step, answer: &'static str },
}

impl Request {
    pub(crate) fn height(&self) -> i64 {
        match self {
            Self::Proposal(proposal) => proposal.height,
            Self::Vote(vote) => vote.height,
        }
    }

    pub(crate) fn step(&self) -> Step {
        match self {
            Self::Proposal(_) => Step::Proposal,
            Self::Vote(vote) if vote.msg_type() == SignedMsgType::Precommit => Step::Precommit,
            Self::Vote(_) => Step::Prevote,
        }
    }

    /// The request on the wire.
    pub(crate) fn to_message(&self, chain_id: &str) -> Message {
        let chain_id = chain_id.to_owned();
        match self {
            Self::Proposal(proposal) => Message::SignProposalRequest(SignProposalRequest {
                proposal: Some(proposal.clone()),
                chain_id,
            }),
            Self::Vote(vote) => {
                Message::SignVoteRequest(SignVoteRequest { vote: Some(vote.clone()), chain_id })
            }
        }
    }

    /// Judges an answer.
    pub(crate) fn check(&self, chain_id: &str, key: &VerifyingKey, answer: Message) -> Answer {
        match (self, answer) {
            (Self::Proposal(_), Message::SignedProposalResponse(response)) if response.error.is_some() => {
                Answer::Refused(response.error.unwrap_or_default())
            }
            (Self::Vote(_), Message::SignedVoteResponse(response)) if response.error.is_some() => {
                Answer::Refused(response.error.unwrap_or_default())
            }
            (Self::Proposal(proposal), Message::SignedProposalResponse(response)) => {
                let sign_bytes = proposal_sign_bytes(chain_id, proposal);
                self.check_signature(key, sign_bytes, response.proposal.signature)
            }
            (Self::Vote(vote), Message::SignedVoteResponse(response)) => {
                self.check_vote(chain_id, key, vote, response)
            }
            (_, other) => Answer::Invalid(Fault::OtherKind { step: self.step(), answer: other.name() }),
        }
    }

    fn check_vote(
        &self,
        chain_id: &str,
        key: &VerifyingKey,
        asked: &Vote,
        answer: SignedVoteResponse,
    ) -> Answer {
        let extension_signature = &answer.vote.extension_signature;
        match (asked.needs_extension_signature(), extension_signature.is_empty()) {
            (true, true) => return Answer::Invalid(Fault::MissingExtensionSignature),
            (false, false) => return Answer::Invalid(Fault::SurplusExtensionSignature { step: self.step() }),
            (true, false)
                if !verifies(key, &vote_extension_sign_bytes(chain_id, asked), extension_signature) =>
            {
                return Answer::Invalid(Fault::WrongExtensionSignature);
            }
            _ => {}
        }
        let voted = Vote { timestamp: answer.vote.timestamp, ..asked.clone() };
        self.check_signature(key, vote_sign_bytes(chain_id, &voted), answer.vote.signature)
    }

    fn check_signature(&self, key: &VerifyingKey, sign_bytes: Vec<u8>, signature: Vec<u8>) -> Answer {
        if verifies(key, &sign_bytes, &signature) {
            return Answer::Signed { sign_bytes, signature };
        }
        Answer::Invalid(Fault::WrongSignature { step: self.step(), length: signature.len() })
    }
}

fn verifies(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block;
    use ed25519_dalek::{Signer, SigningKey};
    use interlock_privval::{PingResponse, SignedProposalResponse, Timestamp};

    const CHAIN: &str = "toy";

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[4; 32])
    }

    fn vote(step: Step) -> Vote {
        match block::request(6, step, 0, &[]) {
            Request::Vote(vote) => vote,
            Request::Proposal(_) => panic!("asked for a vote"),
        }
    }

    /// An honest answer to `vote`, after `alter` had its way with the vote before signing.
    fn answer(mut vote: Vote, alter: impl FnOnce(&mut Vote)) -> Message {
        alter(&mut vote);
        vote.signature = key().sign(&vote_sign_bytes(CHAIN, &vote)).to_vec();
        if vote.needs_extension_signature() {
            vote.extension_signature = key().sign(&vote_extension_sign_bytes(CHAIN, &vote)).to_vec();
        }
        Message::SignedVoteResponse(SignedVoteResponse::signed(vote))
    }

    fn check(asked: &Vote, answer: Message) -> Answer {
        Request::Vote(asked.clone()).check(CHAIN, &key().verifying_key(), answer)
    }

    fn fault(asked: &Vote, answer: Message) -> Fault {
        match check(asked, answer) {
            Answer::Invalid(fault) => fault,
            other => panic!("not invalid: {other:?}"),
        }
    }

    #[test]
    fn honest_answers_count_also_with_an_older_timestamp() {
        for step in [Step::Prevote, Step::Precommit] {
            let asked = vote(step);
            let older = Timestamp { seconds: 5, nanos: 6 };
            let message = answer(asked.clone(), |vote| vote.timestamp = Some(older));
            let Answer::Signed { sign_bytes, .. } = check(&asked, message) else { panic!("refused {step}") };
            assert_eq!(sign_bytes, vote_sign_bytes(CHAIN, &Vote { timestamp: Some(older), ..asked }));
        }
    }

    #[test]
    fn a_signature_over_another_block_does_not_count() {
        let asked = vote(Step::Prevote);
        let message = answer(asked.clone(), |vote| vote.block_id.hash[3] ^= 1);
        assert!(matches!(fault(&asked, message), Fault::WrongSignature { .. }));
    }

    #[test]
    fn extension_signatures_are_required_exactly_for_precommits_of_a_block() {
        let precommit = vote(Step::Precommit);
        let strip = |message: Message, put: Vec<u8>| match message {
            Message::SignedVoteResponse(mut response) => {
                response.vote.extension_signature = put;
                Message::SignedVoteResponse(response)
            }
            other => other,
        };
        let honest = answer(precommit.clone(), |_| ());
        assert_eq!(fault(&precommit, strip(honest.clone(), vec![])), Fault::MissingExtensionSignature);
        assert_eq!(fault(&precommit, strip(honest, vec![9; 64])), Fault::WrongExtensionSignature);
        // A signer that forgets the extension's content signs the empty one, which is another signature.
        let forgetful = answer(precommit.clone(), |vote| vote.extension.clear());
        assert_eq!(fault(&precommit, forgetful), Fault::WrongExtensionSignature);
        let prevote = vote(Step::Prevote);
        let surplus = strip(answer(prevote.clone(), |_| ()), vec![9; 64]);
        assert_eq!(fault(&prevote, surplus), Fault::SurplusExtensionSignature { step: Step::Prevote });
    }

    #[test]
    fn refusals_and_answers_of_another_kind() {
        let asked = vote(Step::Prevote);
        let error = RemoteSignerError { code: 3, description: "not the holder".into() };
        let refusal = Message::SignedVoteResponse(SignedVoteResponse::refused(error.clone()));
        assert!(matches!(check(&asked, refusal), Answer::Refused(found) if found == error));
        let ping = fault(&asked, Message::PingResponse(PingResponse {}));
        assert_eq!(ping, Fault::OtherKind { step: Step::Prevote, answer: "PingResponse" });
    }

    #[test]
    fn the_timestamp_of_a_proposal_is_never_taken_from_the_answer() {
        let request = block::request(4, Step::Proposal, 0, &[]);
        let Request::Proposal(asked) = request.clone() else { panic!("a proposal") };
        let sign = |mut proposal: Proposal| {
            proposal.signature = key().sign(&proposal_sign_bytes(CHAIN, &proposal)).to_vec();
            Message::SignedProposalResponse(SignedProposalResponse::signed(proposal))
        };
        let honest = request.check(CHAIN, &key().verifying_key(), sign(asked.clone()));
        assert!(matches!(honest, Answer::Signed { .. }));
        let older = Proposal { timestamp: Some(Timestamp::default()), ..asked };
        let replayed = request.check(CHAIN, &key().verifying_key(), sign(older));
        assert!(matches!(replayed, Answer::Invalid(Fault::WrongSignature { step: Step::Proposal, .. })));
    }
}
