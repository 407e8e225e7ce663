//! The suite for providers of the own process passes one that keeps the contract, and catches
//! each flaw by its claim.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use shivneri_core::{
    Attempt, Capabilities, Doubt, Email, EmailProvider, Failure, MessageId, ProviderId, Receipt,
    SendError,
};
use shivneri_testkit::contract::{
    Expect,
    in_process::{self, Behaviour, InProcess, Taker},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    TakesTwice,
    LosesTheSubject,
    TakesWhatItRefuses,
    WaitsTooLong,
    GivesUpEarly,
    GoesOnInTheBackground,
    RepeatsTheRecipient,
    ProbesGreenWhenDown,
    ProbesByMail,
}

type Books = Arc<Mutex<Vec<(MessageId, Email)>>>;

struct Handmade {
    id: ProviderId,
    flaw: Flaw,
    behaviour: Behaviour,
    books: Books,
}

impl std::fmt::Debug for Handmade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handmade").field("behaviour", &self.behaviour).finish_non_exhaustive()
    }
}

impl Handmade {
    fn take(books: &Books, email: &Email, flaw: Flaw) -> usize {
        let mut books = books.lock().expect("no holder panics");
        let kept = if flaw == Flaw::LosesTheSubject {
            shivneri_testkit::mail::mail(1)
        } else {
            email.clone()
        };
        books.push((email.id(), kept.clone()));
        if flaw == Flaw::TakesTwice {
            books.push((email.id(), kept));
        }
        books.len()
    }
}

#[async_trait]
impl EmailProvider for Handmade {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn kind(&self) -> &str {
        "handmade"
    }

    fn capabilities(&self) -> Arc<Capabilities> {
        Arc::default()
    }

    async fn send(&self, email: &Email, attempt: &Attempt) -> Result<Receipt, SendError> {
        match &self.behaviour {
            Behaviour::Healthy => {
                let number = Self::take(&self.books, email, self.flaw);
                Ok(Receipt::new(format!("handmade-{number}")))
            }
            Behaviour::Silent => {
                if self.flaw == Flaw::GoesOnInTheBackground {
                    let (books, email) = (Arc::clone(&self.books), email.clone());
                    tokio::spawn(async move { Self::take(&books, &email, Flaw::None) });
                }
                let wait = if self.flaw == Flaw::WaitsTooLong {
                    attempt.timeout + Duration::from_secs(60)
                } else if self.flaw == Flaw::GivesUpEarly {
                    attempt.timeout / 2
                } else {
                    attempt.timeout
                };
                tokio::time::sleep(wait).await;
                Err(SendError::new(Failure::InDoubt(Doubt::Strong), "no answer"))
            }
            Behaviour::Fails(_) => {
                if self.flaw == Flaw::TakesWhatItRefuses {
                    Self::take(&self.books, email, Flaw::None);
                }
                let detail = if self.flaw == Flaw::RepeatsTheRecipient {
                    format!("no way to {:?}", email.to())
                } else {
                    "down".to_owned()
                };
                Err(SendError::new(Failure::Unavailable, detail))
            }
        }
    }

    async fn probe(&self) -> Result<(), SendError> {
        if self.flaw == Flaw::ProbesByMail {
            Self::take(&self.books, &shivneri_testkit::mail::mail(1), Flaw::None);
        }
        if self.behaviour == Behaviour::Healthy || self.flaw == Flaw::ProbesGreenWhenDown {
            return Ok(());
        }
        Err(SendError::new(Failure::Unavailable, "down"))
    }
}

impl Taker for Handmade {
    fn provider(&self) -> &dyn EmailProvider {
        self
    }

    fn taken(&self) -> Vec<(MessageId, Email)> {
        self.books.lock().expect("no holder panics").clone()
    }
}

struct Subject(Flaw);

impl InProcess for Subject {
    fn build(&self, behaviour: &Behaviour) -> Option<Box<dyn Taker>> {
        let id = "handmade".parse().expect("it is a valid id");
        let (behaviour, books) = (behaviour.clone(), Books::default());
        Some(Box::new(Handmade { id, flaw: self.0, behaviour, books }))
    }

    fn failures(&self) -> Vec<Expect> {
        vec![Expect::Unavailable]
    }
}

async fn verdict(flaw: Flaw) -> Result<(), String> {
    let suite = async move { in_process::run(&Subject(flaw)).await };
    tokio::spawn(suite).await.map_err(|failed| {
        let panic = failed.into_panic();
        panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic without words".into())
    })
}

#[tokio::test]
async fn a_provider_that_keeps_the_contract_passes() {
    assert_eq!(verdict(Flaw::None).await, Ok(()));
}

#[tokio::test]
async fn each_flaw_is_caught_by_its_claim() {
    for (flaw, claim) in [
        (Flaw::TakesTwice, "one_send_takes_one_email"),
        (Flaw::LosesTheSubject, "what_is_taken_is_what_was_sent"),
        (Flaw::TakesWhatItRefuses, "failures_mean_what_they_say"),
        (Flaw::WaitsTooLong, "a_send_ends_with_its_timeout"),
        (Flaw::GivesUpEarly, "a_send_ends_with_its_timeout"),
        (Flaw::GoesOnInTheBackground, "a_dropped_send_leaves_nothing_behind"),
        (Flaw::RepeatsTheRecipient, "nothing_private_is_shown"),
        (Flaw::ProbesGreenWhenDown, "a_probe_tells_the_truth_and_sends_no_mail"),
        (Flaw::ProbesByMail, "a_probe_tells_the_truth_and_sends_no_mail"),
    ] {
        let message = verdict(flaw).await.expect_err("the suite lets it pass");
        assert!(message.contains(&format!("the claim {claim} ")), "{flaw:?} gives: {message}");
    }
}
