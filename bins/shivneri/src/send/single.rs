//! One message from flags.

use std::sync::{Arc, Mutex};

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

/// Sends it and prints its id and status; with `--wait` once that is final.
pub(super) async fn run(client: Client, args: &SendArgs) -> anyhow::Result<Exit> {
    let mut message = Message::from_args(args)?.into_json();
    Defaults::from_args(args).apply(&mut message);
    let key = args.idempotency_key.clone().unwrap_or_else(fresh_key);
    let pace = Mutex::new(Pace::new(args.retry_for()));
    let accepted = match offer(&client, &pace, &key, to_bytes(&message)).await {
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
    let finals = follow(&client, followed, 1, args.wait_timeout(), |_| {}).await?;
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

fn line(id: &str, status: &str) -> String {
    format!("{}  {}\n", render::clean(id), render::clean(status))
}
