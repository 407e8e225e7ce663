//! What the overview shows at one moment, made once for all who look.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use shivneri_core::{ProviderId, Registry, health::Status, registry::ProviderView};
use shivneri_spool::{Search, Spool};
use tokio::{sync::Mutex, time::Instant};

use super::{queue, tile};

/// Messages in the list of the latest.
const LATEST: usize = 20;
/// A status is told with how long it has lasted; moments that are no further apart than this are
/// the same, so that its beginning does not flicker by a second.
const SAME_MOMENT: Duration = Duration::from_secs(1);

/// Makes snapshots, at most one at a time.
#[derive(Debug)]
pub(crate) struct Board {
    registry: Arc<Registry>,
    spool: Arc<dyn Spool>,
    /// Tells this run's snapshots from those of a run before.
    run: u128,
    latest: Mutex<Latest>,
}

#[derive(Debug, Default)]
struct Latest {
    at: Option<Instant>,
    snapshot: Arc<Snapshot>,
    since: BTreeMap<ProviderId, Since>,
}

/// When a provider came to its status.
#[derive(Clone, Copy, Debug)]
struct Since {
    status: Status,
    began: Instant,
    shown: SystemTime,
}

/// The overview in pieces, each as HTML.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Differs from the last one's where any piece does.
    pub(crate) id: String,
    number: u64,
    /// Each provider's tile, in the order they are shown.
    pub(crate) tiles: Vec<(ProviderId, String)>,
    /// The other pieces by name.
    pub(crate) parts: BTreeMap<&'static str, String>,
}

impl Snapshot {
    /// The piece of that name.
    pub(crate) fn part(&self, name: &str) -> &str {
        self.parts.get(name).map_or("", String::as_str)
    }
}

impl Board {
    pub(crate) fn new(registry: Arc<Registry>, spool: Arc<dyn Spool>) -> Self {
        let run = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { registry, spool, run: run.as_millis(), latest: Mutex::default() }
    }

    /// The present state.
    pub(crate) async fn look(&self) -> Arc<Snapshot> {
        self.look_since(Duration::ZERO).await
    }

    /// A state that was true at most this long ago.
    pub(crate) async fn look_since(&self, at_most: Duration) -> Arc<Snapshot> {
        let mut latest = self.latest.lock().await;
        if latest.at.is_some_and(|at| at.elapsed() < at_most) {
            return Arc::clone(&latest.snapshot);
        }
        let (tiles, parts) = self.pieces(&mut latest.since).await;
        if tiles != latest.snapshot.tiles || parts != latest.snapshot.parts {
            let number = latest.snapshot.number + 1;
            let id = format!("{:x}-{number}", self.run);
            latest.snapshot = Arc::new(Snapshot { id, number, tiles, parts });
        }
        latest.at = Some(Instant::now());
        Arc::clone(&latest.snapshot)
    }

    async fn pieces(
        &self,
        since: &mut BTreeMap<ProviderId, Since>,
    ) -> (Vec<(ProviderId, String)>, BTreeMap<&'static str, String>) {
        let now = SystemTime::now();
        let views = self.registry.views();
        remember(since, &views, now);
        let tile = |view: &ProviderView| {
            let began = since.get(&view.id).map_or(now, |since| since.shown);
            (view.id.clone(), tile::tile(view, began, now).into_string())
        };
        let search = Search { limit: Some(LATEST), ..Search::default() };
        let stats = self.spool.stats().await;
        let messages = self.spool.search(&search).await;
        let notice = queue::notice(&self.spool.health(), self.registry.can_dispatch());
        let parts = [
            ("notice", notice.into_string()),
            ("queue", queue::queue(self.spool.lanes(), &stats, now).into_string()),
            ("latest", queue::latest(&messages).into_string()),
        ];
        (views.iter().map(tile).collect(), parts.into())
    }
}

/// Keeps since when each provider has had its status.
fn remember(since: &mut BTreeMap<ProviderId, Since>, views: &[ProviderView], now: SystemTime) {
    since.retain(|id, _| views.iter().any(|view| view.id == *id));
    let here = Instant::now();
    for view in views {
        let began = here.checked_sub(view.for_how_long).unwrap_or(here);
        let kept = since.get(&view.id).is_some_and(|before| {
            let apart = began.max(before.began) - began.min(before.began);
            before.status == view.status && apart < SAME_MOMENT
        });
        if !kept {
            let shown = now.checked_sub(view.for_how_long).unwrap_or(now);
            since.insert(view.id.clone(), Since { status: view.status, began, shown });
        }
    }
}
