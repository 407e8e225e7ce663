use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn queue() -> Queue {
    Queue::new([&Lane::critical(), &Lane::transactional(), &Lane::bulk()])
}

fn keys(queue: &mut Queue, max: usize, now: u64) -> Vec<i64> {
    queue.take(max, at(now)).into_iter().map(|(_, key)| key).collect()
}

#[test]
fn transactional_mail_goes_three_times_as_often_as_bulk() {
    let mut queue = queue();
    for key in 0..100 {
        queue.push(1, at(1), key);
        queue.push(2, at(0), 1000 + key);
    }
    let taken = keys(&mut queue, 80, 5);
    assert_eq!(taken.iter().filter(|key| **key < 1000).count(), 60);
}

#[test]
fn the_next_due_time_is_told_when_it_becomes_earlier() {
    let mut queue = queue();
    assert!(queue.push(1, at(10), 1));
    assert!(!queue.push(2, at(11), 2));
    assert!(queue.push(0, at(9), 3));
    assert_eq!(queue.next_due(), Some(at(9)));
}

#[test]
fn a_key_is_taken_once_however_often_it_was_added() {
    let mut queue = queue();
    for due in [3, 1, 2] {
        queue.push(1, at(due), 7);
    }
    assert_eq!(keys(&mut queue, 9, 5), [7]);
    assert!(!queue.claim(7));
    queue.put_back(1, at(8), 7);
    assert!(keys(&mut queue, 9, 7).is_empty());
    assert_eq!(keys(&mut queue, 9, 8), [7]);
}

fn lease_of(key: i64) -> Lease {
    let part = Part::first(DeliveryId::new(), Vec::new(), at(1), at(9), at(1));
    Lease { key, lane: 1, part, alone: true, open: None, settled: false, outdated: false }
}

#[test]
fn what_is_being_changed_is_leased_to_nobody_until_that_is_committed() {
    let mut queue = queue();
    queue.push(1, at(1), 7);
    queue.change(7);
    assert_eq!(keys(&mut queue, 9, 1), [7], "it is taken only after the change was made");
    assert!(!queue.lease(lease_of(7)), "what was read of it no longer holds");
    assert!(keys(&mut queue, 9, 9).is_empty(), "nor is it looked at again before");
    assert!(queue.keys().contains(&7), "but it is not lost");
    assert!(queue.committed());
    assert_eq!(keys(&mut queue, 9, 1), [7]);
    assert!(queue.lease(lease_of(7)));
}

#[test]
fn what_was_read_before_a_commit_and_leased_after_it_is_read_again() {
    let mut queue = queue();
    queue.push(1, at(1), 7);
    assert_eq!(keys(&mut queue, 9, 1), [7]);
    queue.change(7);
    assert!(!queue.committed(), "who has taken it goes on first");
    assert!(!queue.lease(lease_of(7)));
    assert_eq!(keys(&mut queue, 9, 1), [7]);
    assert!(queue.lease(lease_of(7)));
    assert!(queue.is_claimed(7));
}

#[test]
fn held_mail_takes_a_quarter_and_leaves_the_rest_to_others() {
    let mut queue = queue();
    for key in 0..300 {
        hold(&mut queue, 0, key);
    }
    assert_eq!(keys(&mut queue, 100, 9).len(), 25, "though nothing else is due");
    for key in 1000..1300 {
        queue.push(2, at(8), key);
    }
    for key in 2000..2050 {
        queue.push(0, at(8), key);
    }
    let taken = keys(&mut queue, 100, 9);
    assert_eq!(taken.iter().filter(|key| **key < 1000).count(), 25);
    assert_eq!(taken.iter().filter(|key| **key >= 2000).count(), 50, "urgent before bulk");
    let one_by_one: Vec<i64> = (0..40).flat_map(|_| keys(&mut queue, 1, 9)).collect();
    assert_eq!(one_by_one.iter().filter(|key| **key < 1000).count(), 10, "also one at a time");
}

#[test]
fn of_held_mail_what_has_waited_longest_goes_first_whatever_its_lane() {
    let mut queue = queue();
    for key in 0..9 {
        hold(&mut queue, 0, key);
    }
    hold(&mut queue, 2, 99);
    assert!(queue.unpark(), "the next due time became earlier");
    let looked_at: Vec<i64> = (0..10)
        .flat_map(|_| {
            let taken = queue.take(1, at(2));
            for (lane, key) in &taken {
                release(&mut queue, *lane, *key, at(2));
            }
            taken.into_iter().map(|(_, key)| key)
        })
        .collect();
    assert!(looked_at.contains(&99), "{looked_at:?}");
}

#[test]
fn what_is_unparked_is_due_now_and_not_before_what_was_due_already() {
    let mut queue = queue();
    hold(&mut queue, 1, 7);
    queue.push(1, at(1), 8);
    assert!(keys(&mut queue, 0, 3).is_empty());
    queue.unpark();
    assert_eq!(queue.next_due(), Some(at(1)));
    assert_eq!(keys(&mut queue, 9, 3).len(), 2);
}

/// Leases a key that is due at 1 and gives it back until 5.
fn hold(queue: &mut Queue, lane: usize, key: i64) {
    assert!(queue.claim(key));
    release(queue, lane, key, at(5));
}

fn release(queue: &mut Queue, lane: usize, key: i64, until: SystemTime) {
    let lease = Lease { lane, ..lease_of(key) };
    let id = lease.part.id;
    assert!(queue.lease(lease));
    queue.release(id, Park { until, reason: "nobody can take it".into() });
}

#[test]
fn times_come_back_from_their_microseconds() {
    for time in [at(0), at(5), SystemTime::UNIX_EPOCH - Duration::from_micros(7)] {
        assert_eq!(from_micros(micros(time)), time);
    }
}
