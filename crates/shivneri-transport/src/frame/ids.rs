//! Ids on the wire: 16 bytes each.

use bytes::Bytes;
use shivneri_core::AttemptId;
use uuid::Uuid;

use super::FrameError;

pub(crate) fn uuid_bytes(uuid: &Uuid) -> Bytes {
    Bytes::copy_from_slice(uuid.as_bytes())
}

pub(crate) fn uuid(field: &'static str, bytes: &[u8]) -> Result<Uuid, FrameError> {
    Uuid::from_slice(bytes).map_err(|error| FrameError::new(field, error))
}

pub(crate) fn attempt_id(bytes: &[u8]) -> Result<AttemptId, FrameError> {
    uuid("attempt", bytes).map(AttemptId::from_uuid)
}
