//! What runs beside a session: the beats, and reports that found no acknowledgement.

use std::{collections::HashSet, sync::Arc, time::Duration};

use shivneri_core::{AttemptId, Capabilities, Outcome};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::{link::Link, shared::Shared};
use crate::{
    frame::encode_capabilities,
    wire::{Beat, Terms, agent_frame::Frame},
};

/// Beats, the first at once; and tells when the provider's capabilities have changed since
/// `told`.
pub(super) async fn beat(
    shared: Arc<Shared>,
    every: Duration,
    beats: mpsc::Sender<Beat>,
    frames: mpsc::Sender<Frame>,
    mut told: Arc<Capabilities>,
) {
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for seq in 1.. {
        tick.tick().await;
        // One that still waits to be written says the same as this one would.
        let _ = beats.try_send(Beat { seq, in_flight: shared.running() });
        let now = shared.provider.capabilities();
        if *now != *told {
            let capabilities = Some(encode_capabilities(&now));
            let window = shared.options.window.max(1);
            // Without room it is told with the next beat.
            if frames.try_send(Frame::Terms(Terms { window, capabilities })).is_ok() {
                told = now;
            }
        }
    }
}

/// Reports what the session `found` unacknowledged in the journal, and after a while whatever
/// still is: the server may have failed to commit it, or its word may have found no room.
pub(super) async fn report_again(
    shared: Arc<Shared>,
    link: Arc<Link>,
    found: Vec<(AttemptId, Outcome)>,
) {
    let mut tick = interval(shared.options.report_again.max(Duration::from_millis(10)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    for (attempt, outcome) in found {
        link.report(attempt, &outcome).await;
    }
    let mut before = HashSet::<AttemptId>::new();
    loop {
        tick.tick().await;
        // A broken journal ends the session by other ways.
        let Ok(all) = shared.journal.unacknowledged().await else { return };
        for (attempt, outcome) in all.iter().filter(|(id, _)| before.contains(id)) {
            link.report(*attempt, outcome).await;
        }
        before = all.into_iter().map(|(id, _)| id).collect();
    }
}
