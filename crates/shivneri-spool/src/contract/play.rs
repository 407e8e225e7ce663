//! A random play: whatever is done in whatever order, nothing is lost.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use shivneri_core::{
    Attempt, AttemptId, Delivery, DeliveryId, EmailAddress, MessageId, Outcome, Receipt, Transition,
};

use super::{Subject, fixture::*};
use crate::{Duplicates, Evidence, Park, Retention, Spool, Status, spool::Sighting};

/// One step of a play; the numbers choose among what is there.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    /// What is done.
    pub what: u8,
    /// To which message, delivery or attempt.
    pub which: usize,
    /// In which way.
    pub how: u8,
}

/// A player that remembers what is leased and open.
#[derive(Debug)]
pub struct Player {
    spool: Arc<dyn Spool>,
    now: SystemTime,
    messages: Vec<MessageId>,
    leased: HashMap<DeliveryId, Delivery>,
    open: Vec<(Attempt, Delivery)>,
    doubtful: Vec<(AttemptId, MessageId)>,
}

impl Player {
    /// At the beginning of a play.
    pub fn new(spool: Arc<dyn Spool>) -> Self {
        Self {
            spool,
            now: now(),
            messages: Vec::new(),
            leased: HashMap::new(),
            open: Vec::new(),
            doubtful: Vec::new(),
        }
    }

    /// Makes one move.
    ///
    /// # Panics
    ///
    /// Where the spool leases twice, or can't be read or written.
    pub async fn make(&mut self, one: Move) {
        self.now += seconds(u64::from(one.how) % 7);
        match one.what % 12 {
            0..=2 => self.accept(one).await,
            3 | 4 => self.lease(one).await,
            5 | 6 => self.begin(one).await,
            7 | 8 => self.end(one).await,
            9 => self.evidence(one).await,
            10 => self.change(one).await,
            _ => self.give_back(one).await,
        }
    }

    async fn accept(&mut self, one: Move) {
        let to = ["b@x.org", "c@x.org", "d@x.org"];
        let mut draft = draft(&to[..1 + one.which % 3]);
        draft.lane = Some(["critical", "transactional", "bulk"][usize::from(one.how) % 3].into());
        draft.send_at = (one.how.is_multiple_of(5)).then(|| self.now + seconds(20));
        self.messages.push(accept(&self.spool, &draft, self.now).await);
    }

    async fn lease(&mut self, one: Move) {
        let leased = self.spool.lease(one.which % 4, self.now).await.expect("it can be read");
        for delivery in leased {
            let open = self.open.iter().any(|(attempt, _)| attempt.delivery == delivery.id);
            assert!(!open, "a delivery with an open attempt was leased");
            let before = self.leased.insert(delivery.id, delivery);
            assert!(before.is_none(), "a delivery was leased twice");
        }
    }

    async fn begin(&mut self, one: Move) {
        let Some(delivery) = pick(&mut self.leased, one.which) else { return };
        let attempt = attempt(&delivery, ["alpha", "beta"][usize::from(one.how) % 2]);
        // Refused where it was cancelled, erased or settled meanwhile.
        if self.spool.begin(&attempt).await.is_ok() {
            self.open.push((attempt, delivery));
        }
    }

    async fn end(&mut self, one: Move) {
        if self.open.is_empty() {
            return;
        }
        let (attempt, delivery) = self.open.swap_remove(one.which % self.open.len());
        let (outcome, transition) = self.ending(&delivery, one.how);
        self.spool.end(&attempt, &outcome, &transition).await.expect("an open attempt can end");
        if outcome.word() == "in_doubt" {
            self.doubtful.push((attempt.id, attempt.message));
        }
    }

    fn ending(&self, delivery: &Delivery, how: u8) -> (Outcome, Transition) {
        let recipients = delivery.email.envelope().recipients();
        let last: Vec<EmailAddress> = recipients.last().cloned().into_iter().collect();
        let first: Vec<EmailAddress> = recipients.first().cloned().into_iter().collect();
        let receipt = |refused, deferred| {
            Outcome::Accepted(Receipt { refused, deferred, ..Receipt::new("1") })
        };
        let reason = "for a reason".to_owned();
        let later = self.now + seconds(u64::from(how) % 11);
        match how % 10 {
            0 => (accepted(), Transition::Accepted),
            1 => (receipt(last, Vec::new()), Transition::Accepted),
            2 => (receipt(first, last), Transition::Accepted),
            3 => (rejected(), Transition::Rejected { reason }),
            4 => (doubtful(), Transition::Doubt { until: later }),
            5 => (doubtful(), Transition::InDoubt { reason }),
            6 => (bad_recipients(&[last[0].as_str()]), retry(later)),
            7 => (unavailable(), Transition::Expired),
            8 => (doubtful(), Transition::Ask { at: later, until: later + seconds(9) }),
            _ => (unavailable(), retry(later)),
        }
    }

    async fn evidence(&mut self, one: Move) {
        if one.how.is_multiple_of(2) && !self.doubtful.is_empty() {
            let (id, message) = self.doubtful[one.which % self.doubtful.len()];
            let (outcome, transition) = match one.how % 3 {
                0 => (accepted(), Transition::Accepted),
                1 => (not_started(), retry(self.now)),
                _ => (rejected(), Transition::Rejected { reason: "bad content".into() }),
            };
            self.spool.amend(id, &outcome, &transition).await.expect("it is committed");
            self.let_go(message);
        } else if let Some(message) = self.message(one.which) {
            let sighting = [Sighting::Delivered, Sighting::Bounced, Sighting::Complained];
            let sighting = sighting[usize::from(one.how) % 3];
            let recipient = (one.how % 5 > 1).then(|| "c@x.org".parse().expect("an address"));
            let evidence = Evidence { message, recipient, sighting, at: self.now };
            self.spool.observe(&evidence).await.expect("it is committed");
            self.let_go(message);
        }
    }

    async fn change(&mut self, one: Move) {
        let Some(id) = self.message(one.which) else { return };
        let duplicates =
            if one.how.is_multiple_of(2) { Duplicates::Accept } else { Duplicates::Refuse };
        let changed = match one.how % 4 {
            0 => self.spool.cancel(id, self.now).await,
            1 | 2 => self.spool.requeue(id, duplicates, self.now).await,
            _ => self.spool.erase(id).await,
        };
        changed.expect("it is committed");
        self.let_go(id);
    }

    /// A change from outside may have ended leases, so that others may get them now.
    fn let_go(&mut self, message: MessageId) {
        let until = self.now;
        self.leased.retain(|id, delivery| {
            if delivery.message() == message {
                self.spool.release(*id, Park { until, reason: "it was changed".into() });
            }
            delivery.message() != message
        });
    }

    async fn give_back(&mut self, one: Move) {
        if one.how.is_multiple_of(3) {
            self.spool.unpark();
            let later = self.now + seconds(86_400 * 4);
            self.spool.collect(Retention::default(), later).await.expect("it is committed");
        } else if let Some(delivery) = pick(&mut self.leased, one.which) {
            let until = self.now + seconds(u64::from(one.how) % 13);
            self.spool.release(delivery.id, Park { until, reason: "no provider".into() });
        }
    }

    fn message(&self, which: usize) -> Option<MessageId> {
        (!self.messages.is_empty()).then(|| self.messages[which % self.messages.len()])
    }

    /// Ends all that is under way, and then proves that nothing is lost and nothing is stuck.
    ///
    /// # Panics
    ///
    /// Where it is not so.
    pub async fn finish(&mut self) {
        assert_whole(&self.spool).await;
        let stats = self.spool.stats().await.expect("it can be read");
        let audit = self.spool.audit().await.expect("it can be read");
        let mut counted = std::collections::BTreeMap::<Status, u64>::new();
        for (status, count) in stats.lanes.iter().flat_map(|lane| &lane.states) {
            *counted.entry(*status).or_default() += count;
        }
        let bounded = |states: &std::collections::BTreeMap<Status, u64>| {
            let (mut unfinished, mut finished) = (0, std::collections::BTreeMap::new());
            for (status, count) in states {
                if status.is_final() {
                    finished.insert(*status, *count);
                } else {
                    unfinished += count;
                }
            }
            (unfinished, finished)
        };
        assert_eq!(bounded(&counted), bounded(&audit.states), "counters and rows agree");
        for (attempt, _) in std::mem::take(&mut self.open) {
            let end = self.spool.end(&attempt, &accepted(), &Transition::Accepted).await;
            end.expect("an open attempt can end");
        }
        for (id, _) in std::mem::take(&mut self.leased) {
            let until = self.now;
            self.spool.release(id, Park { until, reason: "the play is over".into() });
        }
        self.spool.unpark();
        self.now += seconds(3600);
        loop {
            let leased = self.spool.lease(50, self.now).await.expect("it can be read");
            if leased.is_empty() {
                break;
            }
            for delivery in leased {
                try_once(&self.spool, &delivery, &accepted(), &Transition::Accepted).await;
            }
        }
        for (id, _) in std::mem::take(&mut self.doubtful) {
            let certain = self.spool.amend(id, &unavailable(), &Transition::Expired).await;
            certain.expect("it is committed");
        }
        let stats = self.spool.stats().await.expect("it can be read");
        assert_eq!(stats.duplicates_bound(), 0, "every doubt is settled: {stats:?}");
        let stats = self.spool.stats().await.expect("it can be read");
        assert_eq!((stats.unfinished(), stats.open_attempts), (0, 0), "{stats:?}");
        let audit = self.spool.audit().await.expect("it can be read");
        assert!(!audit.states.contains_key(&Status::Damaged), "{audit:?}");
        assert_whole(&self.spool).await;
    }
}

fn pick(leased: &mut HashMap<DeliveryId, Delivery>, which: usize) -> Option<Delivery> {
    let mut ids: Vec<DeliveryId> = leased.keys().copied().collect();
    ids.sort();
    let id = *ids.get(which.checked_rem(ids.len())?)?;
    leased.remove(&id)
}

/// Six hundred moves of a fixed sequence.
pub async fn nothing_is_lost_in_a_long_random_play(subject: &dyn Subject) {
    let mut player = Player::new(subject.open().await);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..600 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let [what, how, which, ..] = state.to_be_bytes();
        player.make(Move { what, which: usize::from(which), how }).await;
    }
    player.finish().await;
}
