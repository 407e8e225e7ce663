use proptest::prelude::*;
use prost::Message;

use super::*;

fn round(error: SendError) -> SendError {
    let bytes = encode_outcome(&Outcome::Failed(error)).encode_to_vec();
    match decode_outcome(Some(wire::Outcome::decode(bytes.as_slice()).unwrap())) {
        Outcome::Failed(error) => error,
        Outcome::Accepted(_) => panic!("a failure became an acceptance"),
    }
}

#[test]
fn every_failure_survives_the_wire() {
    let address: EmailAddress = "b@example.org".parse().unwrap();
    for failure in [
        Failure::Rejected(Scope::Message),
        Failure::Rejected(Scope::Unexplained),
        Failure::Rejected(Scope::Recipients(vec![address])),
        Failure::Unsupported,
        Failure::AccountFault(Fault::Key),
        Failure::AccountFault(Fault::Suspended),
        Failure::AccountFault(Fault::Paused),
        Failure::AccountFault(Fault::Quota),
        Failure::AccountFault(Fault::Sender),
        Failure::Throttled { retry_after: None },
        Failure::Throttled { retry_after: Some(Duration::from_millis(1500)) },
        Failure::Unavailable,
        Failure::InDoubt(Doubt::Weak),
        Failure::InDoubt(Doubt::Strong),
    ] {
        for cause in [Cause::Provider, Cause::Link, Cause::Agent] {
            let sent = SendError::new(failure.clone(), "why").caused_by(cause);
            let sent = sent.with_answer(Answer::new(503, "busy"));
            let read = round(sent.clone());
            assert_eq!(read.failure(), sent.failure());
            assert_eq!(read.cause(), sent.cause());
            assert_eq!((read.answer(), read.detail()), (sent.answer(), sent.detail()));
        }
    }
}

#[test]
fn only_an_explicit_not_started_says_so() {
    let unavailable = wire::Failure {
        kind: Kind::Unavailable.into(),
        cause: wire::failure::Cause::Agent.into(),
        ..Default::default()
    };
    assert!(!decode_failure(unavailable).is_not_started());
    let not_started = wire::Failure { kind: Kind::NotStarted.into(), ..Default::default() };
    assert!(decode_failure(not_started).is_not_started());
}

#[test]
fn an_acceptance_survives_with_the_recipients_it_left_out() {
    let receipt = Receipt {
        provider_message_id: "abc".into(),
        refused: vec!["b@example.org".parse().unwrap()],
        deferred: vec!["c@example.org".parse().unwrap()],
    };
    match decode_outcome(Some(encode_outcome(&Outcome::Accepted(receipt.clone())))) {
        Outcome::Accepted(read) => assert_eq!(read, receipt),
        Outcome::Failed(error) => panic!("{error}"),
    }
}

#[test]
fn what_is_not_understood_is_strong_doubt() {
    let unknown = wire::Failure { kind: 99, ..Default::default() };
    assert_eq!(decode_failure(unknown).failure(), &Failure::InDoubt(Doubt::Strong));
    let word = decode_outcome(None).word();
    assert_eq!(word, "in_doubt");
}

#[test]
fn look_ups_survive_the_wire() {
    for sent in [Lookup::Found(Receipt::new("x")), Lookup::NotFound, Lookup::CannotTell] {
        let report = encode_lookup(1, &Ok(sent.clone()));
        assert_eq!(decode_lookup(report.answer).unwrap(), sent);
    }
    let report = encode_lookup(1, &Err(SendError::new(Failure::Unavailable, "no way")));
    assert_eq!(decode_lookup(report.answer).unwrap_err().word(), "unavailable");
}

proptest! {
    #[test]
    fn no_bytes_make_the_frame_decoders_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = wire::AgentFrame::decode(bytes.as_slice());
        let _ = wire::ServerFrame::decode(bytes.as_slice());
        if let Ok(outcome) = wire::Outcome::decode(bytes.as_slice()) {
            let Outcome::Failed(error) = decode_outcome(Some(outcome)) else { return Ok(()) };
            prop_assert!(!error.detail().contains(['\r', '\n']));
        }
    }

    #[test]
    fn no_word_of_an_agent_breaks_a_line(detail: String, text: String, status: u32) {
        let failure = wire::Failure {
            kind: Kind::Unavailable.into(),
            answer: Some(wire::Answer { status, text }),
            detail,
            ..Default::default()
        };
        let error = decode_failure(failure);
        let text = &error.answer().unwrap().text;
        prop_assert!(!error.detail().contains(['\r', '\n', '\0']) && !text.contains(['\r', '\n']));
    }
}
