//! One message from flags.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    args::SendArgs,
    follow::follow,
    message::{Defaults, Message, to_bytes},
    offer::{Fate, offer},
    source::fresh_key,
};
use crate::{
    client::{Client, Error, Pace},
    exit::Exit,
    messages::show_call,
    render,
};

/// How long nothing is said about an offer that takes its time.
const QUIET: Duration = Duration::from_secs(2);

/// Sends it and prints its id and status; with `--wait` once that is final.
pub(super) async fn run(client: Client, args: &SendArgs) -> anyhow::Result<Exit> {
    let mut message = Message::from_args(args)?.into_json();
    Defaults::from_args(args).apply(&mut message);
    let key = args.idempotency_key.clone().unwrap_or_else(fresh_key);
    let fate = offer_aloud(&client, args, &key, to_bytes(&message)).await;
    let accepted = match fate {
        Fate::Accepted(accepted) => accepted,
        Fate::Refused(problem) => return Err(Error::Refused(problem).into()),
        Fate::Stopped(error) => return Err(error.into()),
    };
    if !args.wait {
        if args.json {
            render::print_json(&accepted.body)?;
        } else {
            render::print(&line(&accepted.id, &accepted.status))?;
        }
        return Ok(Exit::Done);
    }
    let client = Arc::new(client);
    let followed = vec![("message".to_owned(), accepted.id.clone())];
    let (finals, refused) = follow(&client, followed, 1, args.wait_timeout(), |_| {}).await;
    if let Some(error) = refused {
        render::print(&line(&accepted.id, &accepted.status))?;
        return Err(error.into());
    }
    if args.json {
        render::print_json(&client.call(&show_call(&accepted.id)).await?)?;
    } else {
        let state = finals.states.keys().next().map_or("not final yet", String::as_str);
        render::print(&line(&accepted.id, state))?;
    }
    if finals.all_taken() {
        return Ok(Exit::Done);
    }
    eprintln!("error: no provider has taken it; see `shivneri messages show {}`", accepted.id);
    Ok(Exit::Failure)
}

/// Offers it, and says so where that takes its time.
async fn offer_aloud(client: &Client, args: &SendArgs, key: &str, body: bytes::Bytes) -> Fate {
    let pace = Mutex::new(Pace::new(args.retry_for()));
    let mut offering = pin!(offer(client, &pace, key, body));
    match tokio::time::timeout(QUIET, &mut offering).await {
        Ok(fate) => fate,
        Err(_) => {
            let url = client.shown_url();
            eprintln!("still trying, as --retry-for says: {url} is slow, busy or gone");
            offering.await
        }
    }
}

fn line(id: &str, status: &str) -> String {
    format!("{}  {}\n", render::clean(id), render::clean(status))
}
