//! Shows the pages on a loopback port with providers and mail of every kind, to look at while
//! working on them: `cargo run -p shivneri-console --example preview`.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use shivneri_console::ConsoleParts;
use shivneri_core::{
    Answer, Attempt, AttemptLog, Doubt, Failure, Fault, MessageId, Outcome, ProviderSettings,
    Receipt, Registry, SendError, Submit, SubmitError, Submitted, Transition,
    draft::Draft,
    health::{Admin, HealthPolicy},
    submit::Door,
};
use shivneri_spool::{Acceptance, Incoming, Memory, Spool};
use shivneri_testkit::ScriptedProvider;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Debug)]
struct FrontDoor(Arc<Memory>);

#[async_trait]
impl Submit for FrontDoor {
    async fn submit(
        &self,
        draft: Draft,
        door: Door,
    ) -> std::result::Result<Submitted, SubmitError> {
        let at = SystemTime::now();
        let message = draft.check(MessageId::new(), at).map_err(SubmitError::Invalid)?;
        let owner = "anonymous".to_owned();
        let incoming = Incoming { message, door, owner, idempotency: None, at };
        let refused = |reason| SubmitError::Unavailable { reason, retry_after: 5 };
        match self.0.accept(incoming).await {
            Ok(Acceptance::New { id, status } | Acceptance::Replayed { id, status }) => {
                Ok(Submitted { id, status: status.as_str() })
            }
            Ok(Acceptance::Conflict) => Err(refused("an earlier form differs".to_owned())),
            Err(error) => Err(refused(error.to_string())),
        }
    }
}

fn providers(registry: &Registry) -> Result<()> {
    for id in ["sendgrid-eu", "mailgun", "postmark", "resend", "ses-eu-central-1"] {
        registry.add(Arc::new(ScriptedProvider::new(id)), ProviderSettings::default())?;
    }
    registry.add_remote(Arc::new(ScriptedProvider::new("brevo")), ProviderSettings::default())?;
    registry.administer(&"postmark".parse()?, Admin::Draining)?;
    registry.administer(&"resend".parse()?, Admin::Disabled)?;
    let key = Some((Fault::Key, "the key was refused: 401"));
    registry.restore(&"mailgun".parse()?, Admin::Enabled, None, key)?;
    let pause = Some(Duration::from_secs(300));
    registry.restore(&"ses-eu-central-1".parse()?, Admin::Enabled, pause, None)?;
    Ok(())
}

/// One message with an attempt that ended like this.
async fn mail(
    door: &FrontDoor,
    subject: &str,
    to: &[&str],
    end: Option<(Outcome, Transition)>,
) -> Result<()> {
    let draft = Draft {
        from: Some("Asha Rao <asha@example.com>".into()),
        to: to.iter().map(|&to| to.into()).collect(),
        subject: subject.into(),
        text: Some("Dear Bina,\n\nthe invoice is attached.\n\nAsha".into()),
        html: Some("<p>Dear Bina,</p><p>the invoice is attached.</p>".into()),
        tags: vec!["invoice".into()],
        ..Draft::default()
    };
    door.submit(draft, Door::Http).await?;
    let Some((outcome, transition)) = end else { return Ok(()) };
    let spool = &door.0;
    let due = SystemTime::now() + Duration::from_secs(1);
    let mut leased = spool.lease(8, due).await?;
    let delivery = leased.pop().ok_or_else(|| format!("{subject} is not due"))?;
    let attempt = Attempt {
        delivery: delivery.id,
        number: delivery.next_number(),
        request: delivery.next_number(),
        epoch: delivery.epoch,
        reason: "the lower of two loads; mailgun: misconfigured: key; resend: disabled".into(),
        ..Attempt::single(&delivery.email, "sendgrid-eu".parse()?)
    };
    spool.begin(&attempt).await?;
    spool.end(&attempt, &outcome, &transition).await?;
    Ok(())
}

async fn mails(door: &FrontDoor) -> Result<()> {
    let later = SystemTime::now() + Duration::from_secs(600);
    let fails = |failure, answer| {
        let error = SendError::new(failure, "the service gave no certain answer");
        Outcome::Failed(error.with_answer(answer))
    };
    let accepted = || (Outcome::Accepted(Receipt::new("acme-17")), Transition::Accepted);
    mail(door, "Welcome", &["bina@example.org"], Some(accepted())).await?;
    let more = ["bina@example.org", "chandra@example.org", "dev@example.net"];
    mail(door, "Your invoice of November", &more, Some(accepted())).await?;
    let rejected = fails(Failure::Unavailable, Answer::new(400, "the domain has no MX"));
    let why = Transition::Rejected { reason: "refused by two providers".into() };
    mail(door, "Reset your password", &["nobody@example.com"], Some((rejected, why))).await?;
    let doubt = || fails(Failure::InDoubt(Doubt::Weak), Answer::new(502, "Bad Gateway"));
    let held = Transition::InDoubt { reason: "its lane holds what is in doubt".into() };
    mail(door, "Payment received", &["bina@example.org"], Some((doubt(), held))).await?;
    let waits = Transition::Doubt { until: later };
    mail(door, "Order 42 is on its way", &["bina@example.org"], Some((doubt(), waits))).await?;
    let down = fails(Failure::Unavailable, Answer::new(503, "try again later"));
    let retry = Transition::Retry { at: later, reason: "every provider failed just now".into() };
    mail(door, "", &["bina@example.org"], Some((down, retry))).await?;
    mail(
        door,
        "A subject that is much longer than any table cell has room for, and goes on and on",
        &["a.very.long.local.part.indeed@subdomain.of.some.long.example.org"],
        None,
    )
    .await
}

#[tokio::main]
async fn main() -> Result<()> {
    let (registry, spool) = (Registry::new(HealthPolicy::default()), Memory::new());
    let door = FrontDoor(Arc::clone(&spool));
    providers(&registry)?;
    mails(&door).await?;
    let parts = ConsoleParts {
        submit: Arc::new(door),
        registry,
        spool,
        version: env!("CARGO_PKG_VERSION"),
        max_upload: 40 << 20,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/", listener.local_addr()?);
    axum::serve(listener, shivneri_console::router(parts)).await?;
    Ok(())
}
