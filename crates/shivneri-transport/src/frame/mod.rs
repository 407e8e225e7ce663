//! Between core's words and the frames on the wire. Whatever comes in is checked here.

mod email;
mod ids;
mod outcome;
mod terms;

pub(crate) use self::{
    email::{decode_email, encode_email},
    ids::{attempt_id, uuid, uuid_bytes},
    outcome::{
        decode_failure, decode_lookup, decode_outcome, encode_failure, encode_lookup,
        encode_outcome,
    },
    terms::{decode_attempt, decode_capabilities, encode_attempt, encode_capabilities},
};

/// What came in is not what the protocol allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is not valid: {reason}")]
pub(crate) struct FrameError {
    field: &'static str,
    reason: String,
}

impl FrameError {
    pub(crate) fn new(field: &'static str, reason: impl ToString) -> Self {
        Self { field, reason: reason.to_string() }
    }
}
