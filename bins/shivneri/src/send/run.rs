//! A run over files: reads, offers so many at once, counts.

use std::sync::{Arc, Mutex};

use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use super::{
    args::SendArgs,
    follow::{Followed, follow},
    message::Defaults,
    offer::{Fate, SharedPace, offer},
    progress::Progress,
    source::{Item, Keys, Mail, Source, read_all},
    summary::Tally,
};
use crate::{
    client::{Client, Pace, Problem},
    exit::{self, Exit},
    render::{self, Look},
};

/// Sends every message of the files.
pub(super) async fn run(client: Client, args: &SendArgs) -> anyhow::Result<Exit> {
    let sources: Vec<_> =
        args.file.iter().map(|path| Source::of(path)).collect::<Result<_, _>>()?;
    let sizes: Vec<_> = sources.iter().map(Source::size).collect::<Result<_, _>>()?;
    let progress = Progress::new(sizes.into_iter().sum());
    let started = Instant::now();
    let run = Run { client: Arc::new(client), args, progress };
    let (mut tally, followed) = run.offer_all(sources).await;
    let took = started.elapsed();
    if args.wait && tally.stopped.is_none() {
        let (at_once, all) = (usize::from(args.concurrency), followed.len() as u64);
        let seen = |done| run.progress.finals(done, all);
        let (finals, cut_short) =
            follow(&run.client, followed, at_once, args.wait_timeout(), seen).await;
        tally.finals = Some(finals);
        tally.stopped = cut_short;
    }
    run.progress.clear();
    if args.json {
        render::print_json(&tally.json(took))?;
    } else {
        render::print(&tally.text(took, Look::of_stdout()))?;
    }
    let Some(error) = tally.stopped.take() else { return Ok(tally.exit()) };
    let error = anyhow::Error::new(error);
    eprintln!("{}", exit::describe(&error));
    if tally.unanswered > 0 && !args.no_idempotency {
        eprintln!(
            "  the same command goes on from here: what was accepted is not taken a second time"
        );
    }
    Ok(exit::of(&error))
}

struct Run<'a> {
    client: Arc<Client>,
    args: &'a SendArgs,
    progress: Progress,
}

impl Run<'_> {
    /// Offers the sources' mail until it is used up or the server stops answering.
    async fn offer_all(&self, sources: Vec<Source>) -> (Tally, Vec<Followed>) {
        let at_once = usize::from(self.args.concurrency);
        let (sender, mut mails) = mpsc::channel(at_once);
        let defaults = Defaults::from_args(self.args);
        let keys =
            if self.args.no_idempotency { Keys::Fresh } else { Keys::derived(sources.len()) };
        // It ends with the sources or when the channel closes; only a read from stdin may last
        // beyond that, and it ends with the program.
        let reading =
            tokio::task::spawn_blocking(move || read_all(&sources, &defaults, keys, &sender));
        let pace = Arc::new(Mutex::new(Pace::new(self.args.retry_for())));
        let (mut tally, mut followed) = (Tally::default(), Vec::new());
        let (mut offers, mut more) = (JoinSet::new(), true);
        while more || !offers.is_empty() {
            tokio::select! {
                item = mails.recv(), if more && offers.len() < at_once => match item {
                    Some(Item::Mail(mail)) => {
                        self.tell_dropped(&mail);
                        offers.spawn(offered(Arc::clone(&self.client), Arc::clone(&pace), mail));
                    }
                    Some(Item::Unreadable { place, reason, size }) => {
                        tally.refuse(place, Problem::local("can't be sent", reason));
                        self.progress.advance(size, tally.accepted, tally.refused);
                    }
                    None => more = false,
                },
                Some(joined) = offers.join_next(), if !offers.is_empty() => {
                    let (mail, fate) = joined.expect("offering a message does not panic");
                    self.count(mail, fate, &mut tally, &mut followed);
                    if tally.stopped.is_some() {
                        more = false;
                        mails.close();
                    }
                }
            }
        }
        if tally.stopped.is_none() {
            reading.await.expect("reading the sources does not panic");
        }
        (tally, followed)
    }

    fn tell_dropped(&self, mail: &Mail) {
        if self.args.verbose {
            for dropped in &mail.dropped {
                self.progress
                    .line(&render::clean(&format!("{}: left behind: {dropped}", mail.place)));
            }
        }
    }

    fn count(&self, mail: Mail, fate: Fate, tally: &mut Tally, followed: &mut Vec<Followed>) {
        let told = match fate {
            Fate::Accepted(accepted) => {
                tally.accepted += 1;
                tally.replayed += u64::from(accepted.replayed);
                let told = format!("{}: {} {}", mail.place, accepted.status, accepted.id);
                if self.args.wait {
                    followed.push((mail.place, accepted.id));
                }
                told
            }
            Fate::Refused(problem) => {
                let told = format!("{}: refused: {}", mail.place, problem.headline());
                tally.refuse(mail.place, problem);
                told
            }
            Fate::Stopped(error) => {
                let told = format!("{}: no answer: {error}", mail.place);
                tally.stop(error);
                told
            }
        };
        self.progress.advance(mail.size, tally.accepted, tally.refused);
        if self.args.verbose {
            self.progress.line(&render::clean(&told));
        }
    }
}

async fn offered(client: Arc<Client>, pace: Arc<SharedPace>, mail: Mail) -> (Mail, Fate) {
    let fate = offer(&client, &pace, &mail.key, mail.body.clone()).await;
    (mail, fate)
}
