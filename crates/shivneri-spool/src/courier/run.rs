//! The loop: lease, carry, wait for news.

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use shivneri_core::{Delivery, LogError, decision};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, MissedTickBehavior},
};

use super::{
    Courier, CourierState, Drained,
    carry::{Carried, Hold, Undecided, Watched, carry},
    pace::Pace,
};

/// Deliveries leased in one go at most.
const BATCH: usize = 128;
/// Overdue deliveries settled at once at most.
const OVERDUE: usize = 256;
/// How often a change of the providers' standing is looked for, while mail is held.
const NEWS: Duration = Duration::from_millis(200);
/// After a read of the spool failed.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// A task's result: what it carried, and how that ended.
type Done = Result<Option<Hold>, LogError>;

/// What one run of the loop owns.
struct Run {
    tasks: JoinSet<Done>,
    carried: HashMap<Id, (Arc<Delivery>, Watched)>,
    /// What is settled without a provider.
    settling: JoinSet<(Arc<Delivery>, Result<(), LogError>)>,
    /// Whether all that was overdue could be settled, so that more of it may be looked for.
    settles: bool,
    undecided: Undecided,
    pace: Pace,
    /// Places that became free since the last lease: whatever the pace, each may be filled.
    freed: usize,
    /// Whether anything was held since the providers' standing last changed.
    holding: bool,
    standing: Vec<(String, &'static str)>,
    /// Whether something has changed since the standing was last looked at, and when that was.
    news: bool,
    looked: Instant,
    /// No lease before this time.
    pause: Option<Instant>,
}

impl Courier {
    /// Carries mail until `shutdown` is done, and then waits for what is under way, for as long as
    /// the policy says.
    ///
    /// Dropping this future aborts what is under way: its attempts stay open in the log.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) -> Drained {
        self.enter(CourierState::Running);
        let now = Instant::now();
        let mut run = Run {
            tasks: JoinSet::new(),
            carried: HashMap::new(),
            settling: JoinSet::new(),
            settles: true,
            undecided: Undecided::default(),
            pace: Pace::new(self.policy.held_per_second, now),
            freed: 0,
            holding: false,
            standing: Vec::new(),
            news: true,
            looked: now,
            pause: None,
        };
        let registry = Arc::clone(self.dispatcher.registry());
        let mut seen = registry.version();
        let mut overdue = tokio::time::interval(self.policy.overdue);
        overdue.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shutdown = pin!(shutdown);
        loop {
            self.lease(&mut run).await;
            let wake = self.wake(&run);
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(done) = run.tasks.join_next_with_id(), if !run.tasks.is_empty() => {
                    self.ended(&mut run, done).await;
                    // Whatever else has ended makes the next lease larger.
                    while let Some(done) = run.tasks.try_join_next_with_id() {
                        self.ended(&mut run, done).await;
                    }
                }
                Some(done) = run.settling.join_next(), if !run.settling.is_empty() => {
                    self.settled(&mut run, done);
                    // More is looked for at once until no more is found.
                    if run.settling.is_empty() && run.settles {
                        self.settle_overdue(&mut run).await;
                    }
                }
                _ = overdue.tick(), if run.settling.is_empty() => {
                    run.settles = true;
                    self.settle_overdue(&mut run).await;
                }
                version = registry.changed(seen) => {
                    seen = version;
                    run.news = true;
                }
                () = self.spool.due_changed() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
            self.look_for_news(&mut run);
            self.in_flight.store(run.tasks.len(), std::sync::atomic::Ordering::Relaxed);
        }
        self.drain(run).await
    }

    /// Leases what is due, as far as there are places for it.
    async fn lease(&self, run: &mut Run) {
        loop {
            let (now, room) = (self.policy.clock.now(), self.room(run));
            let is_due = self.spool.next_due().is_some_and(|due| due <= now);
            if room == 0 || !is_due || self.is_stopped() {
                return;
            }
            match self.spool.lease(room.min(BATCH), now).await {
                Ok(leased) => {
                    run.freed = run.freed.saturating_sub(leased.len());
                    for delivery in leased {
                        self.begin(run, delivery);
                    }
                }
                Err(error) => {
                    self.trouble(run, &error);
                    return;
                }
            }
        }
    }

    /// How many deliveries may be leased now.
    fn room(&self, run: &Run) -> usize {
        let now = Instant::now();
        if run.pause.is_some_and(|until| now < until) {
            return 0;
        }
        let undecided = run.undecided.count();
        let places = self.dispatcher.registry().free_places().saturating_sub(undecided);
        let tasks = self.policy.max_in_flight.saturating_sub(run.tasks.len());
        let pace = run.pace.left(now).saturating_sub(undecided).max(run.freed);
        places.min(tasks).min(pace)
    }

    fn begin(&self, run: &mut Run, delivery: Delivery) {
        let delivery = Arc::new(delivery);
        let log = Watched::new(Arc::clone(&self.log), run.undecided.one());
        let carrying = carry(
            Arc::clone(&self.dispatcher),
            Arc::clone(&delivery),
            log.clone(),
            self.policy.clock.now(),
        );
        let task = run.tasks.spawn(carrying);
        run.carried.insert(task.id(), (delivery, log));
    }

    async fn ended(&self, run: &mut Run, done: Result<(Id, Done), JoinError>) {
        let id = match &done {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some((delivery, log)) = run.carried.remove(&id) else { return };
        match done {
            Ok((_, ended)) => match self.finish(&delivery, ended) {
                Carried::Settled => run.freed += 1,
                Carried::Held => {
                    run.holding = true;
                    run.pace.take(Instant::now());
                }
            },
            Err(_) => self.after_panic(&delivery, &log).await,
        }
    }

    /// Settles what needs no provider: what is past its time, and doubts that have run their
    /// course.
    async fn settle_overdue(&self, run: &mut Run) {
        if self.is_stopped() {
            return;
        }
        let now = self.policy.clock.now();
        // Look-ups take no provider's place, and are not made without end either.
        let room = (self.policy.max_in_flight + OVERDUE).saturating_sub(run.tasks.len());
        if room == 0 {
            return;
        }
        let leased = match self.spool.lease_overdue(room.min(OVERDUE), now).await {
            Ok(leased) => leased,
            Err(error) => return self.trouble(run, &error),
        };
        for delivery in leased {
            // It has waited for its turn until the end: who may know is asked all the same.
            if delivery.awaiting.is_some() && self.dispatcher.may_look_up(&delivery) {
                self.begin(run, delivery);
                continue;
            }
            let delivery = Arc::new(delivery);
            match decision::overdue(&delivery, now) {
                Some(end) => {
                    let log = Arc::clone(&self.log);
                    run.settling.spawn(async move {
                        let settled = log.settle(delivery.id, &end).await;
                        (delivery, settled)
                    });
                }
                // To be sent once more, when its turn comes.
                None => self.spool.release(
                    delivery.id,
                    crate::Park { until: now, reason: "an attempt is in doubt".to_owned() },
                ),
            }
        }
    }

    fn settled(
        &self,
        run: &mut Run,
        done: Result<(Arc<Delivery>, Result<(), LogError>), JoinError>,
    ) {
        match done {
            Ok((delivery, settled)) => {
                run.settles &= settled.is_ok();
                self.finish(&delivery, settled.map(|()| None));
            }
            Err(error) => {
                tracing::error!(%error, "a delivery could not be settled");
                run.settles = false;
            }
        }
    }

    /// When to look again without any news.
    fn wake(&self, run: &Run) -> Instant {
        let now = Instant::now();
        let mut wake = now + Duration::from_secs(60);
        if self.is_stopped() {
            // What is due stays so, and is none of its business any more.
            return wake;
        }
        if let Some(pause) = run.pause.filter(|pause| *pause > now) {
            wake = wake.min(pause);
        } else if run.pace.left(now) == 0 {
            wake = wake.min(run.pace.next());
        } else if self.room(run) > 0
            && let Some(due) = self.spool.next_due()
        {
            let wait = due.duration_since(self.policy.clock.now()).unwrap_or_default();
            // Timers go by the millisecond, and waking before its time finds nothing due.
            wake = wake.min(now + wait.max(Duration::from_millis(1)));
        }
        if run.holding && run.news { wake.min(run.looked + NEWS) } else { wake }
    }

    /// Makes held mail due as soon as some provider's standing has changed.
    fn look_for_news(&self, run: &mut Run) {
        let now = Instant::now();
        if !run.holding || !run.news || now < run.looked + NEWS {
            return;
        }
        run.news = false;
        run.looked = now;
        let views = self.dispatcher.registry().views();
        let standing: Vec<_> =
            views.iter().map(|view| (view.id.to_string(), view.status.as_str())).collect();
        if standing != run.standing {
            run.standing = standing;
            run.holding = false;
            self.spool.unpark();
        }
    }

    fn trouble(&self, run: &mut Run, error: &crate::SpoolError) {
        match self.spool.health().state {
            crate::SpoolState::Open => {
                tracing::warn!(%error, "the spool could not be read");
                run.pause = Some(Instant::now() + READ_AGAIN);
            }
            crate::SpoolState::Poisoned { .. } | crate::SpoolState::Closed => {
                self.stop(&error.to_string());
            }
        }
    }

    async fn drain(&self, mut run: Run) -> Drained {
        self.enter(CourierState::Draining);
        let end = Instant::now() + self.policy.drain;
        while !run.tasks.is_empty() {
            match tokio::time::timeout_at(end, run.tasks.join_next_with_id()).await {
                Ok(Some(done)) => self.ended(&mut run, done).await,
                Ok(None) | Err(_) => break,
            }
        }
        while let Ok(Some(done)) = tokio::time::timeout_at(end, run.settling.join_next()).await {
            self.settled(&mut run, done);
        }
        run.settling.shutdown().await;
        let left = run.tasks.len();
        if left > 0 {
            tracing::warn!(left, "the time to drain is over; attempts are left open");
        }
        run.tasks.shutdown().await;
        self.in_flight.store(0, std::sync::atomic::Ordering::Relaxed);
        self.enter(CourierState::Ended);
        Drained { left }
    }
}
