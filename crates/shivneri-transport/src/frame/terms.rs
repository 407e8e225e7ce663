//! Capabilities and attempts.

use std::time::{Duration, SystemTime};

use shivneri_core::{Attempt, Capabilities, DeliveryId, MessageId, OnDoubt, ProviderId};

use super::{FrameError, attempt_id, uuid, uuid_bytes};
use crate::wire;

pub(crate) fn encode_capabilities(from: &Capabilities) -> wire::Capabilities {
    wire::Capabilities {
        max_recipients: from.max_recipients as u64,
        max_bytes: from.max_bytes,
        raw_mime: from.raw_mime,
        envelope: from.envelope,
        idempotent: from.idempotent,
        key_life_ms: Some(millis(from.key_life)),
        lookup: from.lookup,
        smtputf8: from.smtputf8,
        inline_attachments: from.inline_attachments,
        domains: from.domains.clone().map(|names| wire::Domains { names }),
    }
}

pub(crate) fn decode_capabilities(from: wire::Capabilities) -> Capabilities {
    Capabilities {
        max_recipients: usize::try_from(from.max_recipients).unwrap_or(usize::MAX),
        max_bytes: from.max_bytes,
        raw_mime: from.raw_mime,
        envelope: from.envelope,
        idempotent: from.idempotent,
        key_life: from.key_life_ms.map_or(Capabilities::DEFAULT_KEY_LIFE, Duration::from_millis),
        lookup: from.lookup,
        smtputf8: from.smtputf8,
        inline_attachments: from.inline_attachments,
        domains: from
            .domains
            .map(|list| list.names.iter().map(|name| name.to_lowercase()).collect()),
    }
}

pub(crate) fn encode_attempt(attempt: &Attempt) -> wire::Attempt {
    let on_doubt = match attempt.on_doubt {
        OnDoubt::Resend => wire::OnDoubt::Resend,
        OnDoubt::Hold => wire::OnDoubt::Hold,
    };
    wire::Attempt {
        id: uuid_bytes(attempt.id.as_uuid()),
        delivery: uuid_bytes(attempt.delivery.as_uuid()),
        message: uuid_bytes(attempt.message.as_uuid()),
        number: attempt.number,
        idempotency_key: attempt.idempotency_key(),
        on_doubt: on_doubt.into(),
        possible_duplicate: attempt.possible_duplicate,
        started_at_ms: millis(
            attempt.started_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        ),
        timeout_ms: u32::try_from(attempt.timeout.as_millis()).unwrap_or(u32::MAX),
        request: attempt.request,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An attempt as the agent's provider sees it. The session, the reason, and how long its key lives
/// are the server's own and stay there.
///
/// Refused where the key that the server means is not the one this provider would send: the two
/// must not disagree about which account is spoken of.
pub(crate) fn decode_attempt(
    from: Option<wire::Attempt>,
    provider: &ProviderId,
) -> Result<Attempt, FrameError> {
    let from = from.ok_or_else(|| FrameError::new("attempt", "missing"))?;
    let on_doubt = match from.on_doubt() {
        wire::OnDoubt::Resend => OnDoubt::Resend,
        // Of what a newer server may mean, the careful reading.
        wire::OnDoubt::Hold | wire::OnDoubt::Unspecified => OnDoubt::Hold,
    };
    let started_at = SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_millis(from.started_at_ms))
        .ok_or_else(|| FrameError::new("started_at_ms", "beyond this machine's time"))?;
    let attempt = Attempt {
        id: attempt_id(&from.id)?,
        delivery: DeliveryId::from_uuid(uuid("delivery", &from.delivery)?),
        message: MessageId::from_uuid(uuid("message", &from.message)?),
        number: from.number,
        provider: provider.clone(),
        request: if from.request == 0 { from.number } else { from.request },
        session: None,
        epoch: 0,
        reason: String::new(),
        on_doubt,
        possible_duplicate: from.possible_duplicate,
        repetition: false,
        key_until: None,
        started_at,
        timeout: Duration::from_millis(from.timeout_ms.into()),
    };
    if attempt.idempotency_key() != from.idempotency_key {
        return Err(FrameError::new("idempotency_key", "it names another account"));
    }
    Ok(attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Attempt {
        let email = shivneri_core::Email::builder("a@example.com".parse().unwrap())
            .to("b@example.org".parse().unwrap())
            .text("hi")
            .build()
            .unwrap();
        Attempt {
            on_doubt: OnDoubt::Hold,
            possible_duplicate: true,
            number: 3,
            request: 2,
            ..Attempt::single(&email, "acme".parse().unwrap())
        }
    }

    #[test]
    fn an_attempt_survives_the_wire() {
        let sent = attempt();
        let read = decode_attempt(Some(encode_attempt(&sent)), &sent.provider).unwrap();
        assert_eq!(read, sent);
    }

    #[test]
    fn an_attempt_for_another_account_is_refused() {
        let read = decode_attempt(Some(encode_attempt(&attempt())), &"other".parse().unwrap());
        assert!(read.unwrap_err().to_string().contains("idempotency_key"));
    }

    #[test]
    fn a_request_without_a_number_is_the_attempts_own() {
        let sent = Attempt { request: 3, ..attempt() };
        let silent = wire::Attempt { request: 0, ..encode_attempt(&sent) };
        assert_eq!(decode_attempt(Some(silent), &sent.provider).unwrap(), sent);
        let other = wire::Attempt { request: 0, ..encode_attempt(&attempt()) };
        assert!(decode_attempt(Some(other), &sent.provider).is_err(), "its key is another");
    }

    #[test]
    fn capabilities_survive_the_wire() {
        for domains in [None, Some(vec![]), Some(vec!["example.com".to_owned()])] {
            let key_life = Duration::from_secs(24 * 60 * 60);
            let some = Capabilities { idempotent: true, key_life, ..Default::default() };
            let sent = Capabilities { max_bytes: 7, domains, ..some };
            assert_eq!(decode_capabilities(encode_capabilities(&sent)), sent);
        }
    }

    #[test]
    fn a_key_lives_for_a_minute_where_the_agent_says_nothing() {
        let said = Capabilities { idempotent: true, ..Default::default() };
        let silent = wire::Capabilities { key_life_ms: None, ..encode_capabilities(&said) };
        assert_eq!(decode_capabilities(silent).key_life, Duration::from_secs(60));
    }
}
