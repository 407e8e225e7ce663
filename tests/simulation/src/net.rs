//! The network: streams of bytes between hosts, with delays, cuts and deaths.
//!
//! It behaves as TCP does where that matters. What a killed process had written still arrives,
//! and then the end of the stream. A host without power says nothing, until it is back and
//! resets what it no longer knows. A cut link delays everything and loses nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use shivneri_core::draws::Draws;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    time::{Instant, Sleep, sleep, sleep_until},
};

/// A machine. The server is host 0.
pub(crate) type Host = usize;
/// The server's.
pub(crate) const SERVER: Host = 0;

/// Bytes that one direction of a connection holds.
const ROOM: usize = 64 << 10;

/// How one direction between two hosts behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) cut: bool,
    pub(crate) latency: Duration,
}

impl Default for Link {
    fn default() -> Self {
        Self { cut: false, latency: Duration::from_micros(500) }
    }
}

#[derive(Debug, Default)]
struct Machine {
    /// Its process is stopped.
    frozen: bool,
    /// It has no power.
    off: bool,
    /// When the server last read something from it.
    heard: Option<Instant>,
    /// When the server last let go of a connection with it.
    left: Option<Instant>,
}

#[derive(Debug)]
struct Inner {
    draws: Draws,
    links: BTreeMap<(Host, Host), Link>,
    machines: BTreeMap<Host, Machine>,
    pairs: Vec<Weak<Pair>>,
    listener: Option<mpsc::Sender<Stream>>,
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Net(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Pair {
    net: Net,
    hosts: [Host; 2],
    state: Mutex<[Half; 2]>,
}

/// What is under way when the server sees a connection's end, or dies, has left it by then.
const NOTICED: Duration = Duration::from_millis(5);

/// What one end writes and the other reads, and the writing end itself.
#[derive(Debug, Default)]
struct Half {
    queue: VecDeque<(Instant, Bytes)>,
    last: Option<Instant>,
    end: Option<(Instant, End)>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// When the process of this end went.
    died: Option<Instant>,
    /// When the other end's reader saw the end.
    seen: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
    /// Nothing more is heard.
    Silence,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Stream {
    pair: Arc<Pair>,
    side: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            draws: Draws::new(seed),
            links: BTreeMap::new(),
            machines: BTreeMap::new(),
            pairs: Vec::new(),
            listener: None,
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how one direction behaves.
    pub(crate) fn set_link(&self, from: Host, to: Host, link: Link) {
        self.inner().links.insert((from, to), link);
        self.wake();
    }

    pub(crate) fn link(&self, from: Host, to: Host) -> Link {
        self.inner().links.get(&(from, to)).copied().unwrap_or_default()
    }

    /// Stops a host's process or lets it go on.
    pub(crate) fn freeze(&self, host: Host, frozen: bool) {
        self.inner().machines.entry(host).or_default().frozen = frozen;
        self.wake();
    }

    pub(crate) fn is_frozen(&self, host: Host) -> bool {
        self.inner().machines.get(&host).is_some_and(|machine| machine.frozen)
    }

    /// The host's process dies. Without `power` so does the host: nobody hears of it.
    pub(crate) fn kill(&self, host: Host, power: bool) {
        if host == SERVER {
            self.inner().listener = None;
        }
        self.inner().machines.entry(host).or_default().off = !power;
        for pair in self.pairs_of(host) {
            for side in [0, 1].into_iter().filter(|side| pair.hosts[*side] == host) {
                let end = if power { End::Closed } else { End::Silence };
                pair.finish(side, end);
                pair.halves()[side].died = Some(Instant::now());
            }
        }
        self.wake();
    }

    /// The host is up again: it resets the connections it no longer knows.
    pub(crate) fn power_on(&self, host: Host) {
        let was_off = std::mem::take(&mut self.inner().machines.entry(host).or_default().off);
        if !was_off {
            return;
        }
        for pair in self.pairs_of(host) {
            let at = Instant::now() + self.delay(host, pair.other(host));
            for (half, of) in pair.halves().iter_mut().zip(pair.hosts) {
                if of == host && half.died.is_some() && matches!(half.end, Some((_, End::Silence)))
                {
                    half.end = Some((at, End::Reset));
                }
            }
        }
        self.wake();
    }

    fn pairs_of(&self, host: Host) -> Vec<Arc<Pair>> {
        let mut inner = self.inner();
        inner.pairs.retain(|pair| pair.strong_count() > 0);
        let pairs = inner.pairs.iter().filter_map(Weak::upgrade);
        pairs.filter(|pair| pair.hosts.contains(&host)).collect()
    }

    /// Whether the server has an open connection of this host that it heard from since. One whose
    /// end it has only just seen still counts: an offer may be on its way out.
    pub(crate) fn hears(&self, host: Host, since: Instant) -> bool {
        let (heard, left) = {
            let inner = self.inner();
            let machine = inner.machines.get(&host);
            (machine.and_then(|one| one.heard), machine.and_then(|one| one.left))
        };
        let is_over = |at: Instant| at + NOTICED <= Instant::now();
        let connected = self.pairs_of(host).iter().any(|pair| {
            let halves = pair.halves();
            !halves[0].seen.into_iter().chain(halves[1].died).any(is_over)
        });
        (connected || left.is_some_and(|left| !is_over(left)))
            && heard.is_some_and(|heard| heard >= since)
    }

    /// Where the server takes connections.
    pub(crate) fn listen(&self) -> mpsc::Receiver<Stream> {
        let (sender, incoming) = mpsc::channel(64);
        self.inner().listener = Some(sender);
        incoming
    }

    /// Connects to the server; tries for as long as nothing answers.
    pub(crate) async fn connect(&self, from: Host) -> io::Result<Stream> {
        loop {
            let (there, back) = (self.delay(from, SERVER), self.delay(SERVER, from));
            sleep(there + back).await;
            let cut = self.link(from, SERVER).cut || self.link(SERVER, from).cut;
            let (listener, off) = {
                let inner = self.inner();
                let off = inner.machines.get(&SERVER).is_some_and(|machine| machine.off);
                (inner.listener.clone(), off)
            };
            if cut || off || self.is_frozen(from) {
                sleep(Duration::from_millis(500)).await;
                continue;
            }
            let listener = listener.ok_or(io::ErrorKind::ConnectionRefused)?;
            let pair = Arc::new(Pair {
                net: self.clone(),
                hosts: [from, SERVER],
                state: Mutex::default(),
            });
            self.inner().pairs.push(Arc::downgrade(&pair));
            let near = Stream { pair: Arc::clone(&pair), side: 0, timer: None };
            let far = Stream { pair, side: 1, timer: None };
            listener.try_send(far).map_err(|_| io::ErrorKind::ConnectionRefused)?;
            return Ok(near);
        }
    }

    fn delay(&self, from: Host, to: Host) -> Duration {
        let mut inner = self.inner();
        let latency = inner.links.get(&(from, to)).copied().unwrap_or_default().latency;
        let jitter = inner.draws.below(latency.as_micros() as usize + 1);
        latency + Duration::from_micros(jitter as u64)
    }

    /// Lets everybody look again.
    fn wake(&self) {
        let pairs: Vec<_> = self.inner().pairs.iter().filter_map(Weak::upgrade).collect();
        for pair in pairs {
            for half in pair.halves().iter_mut() {
                half.reader.take().into_iter().for_each(Waker::wake);
                half.writer.take().into_iter().for_each(Waker::wake);
            }
        }
    }
}

impl Pair {
    fn halves(&self) -> MutexGuard<'_, [Half; 2]> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn other(&self, host: Host) -> Host {
        if self.hosts[0] == host { self.hosts[1] } else { self.hosts[0] }
    }

    /// The end of what `side` writes, after all it has written.
    fn finish(&self, side: usize, end: End) {
        let delay = self.net.delay(self.hosts[side], self.hosts[1 - side]);
        let mut halves = self.halves();
        let half = &mut halves[side];
        if half.end.is_some() {
            return;
        }
        let at = half.last.unwrap_or_else(Instant::now).max(Instant::now() + delay);
        half.end = Some((at, end));
        half.reader.take().into_iter().for_each(Waker::wake);
    }
}

impl Stream {
    fn wait(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (pair, side) = (Arc::clone(&self.pair), self.side);
        let (me, peer) = (pair.hosts[side], pair.hosts[1 - side]);
        loop {
            let stopped = pair.net.is_frozen(me) || pair.net.link(peer, me).cut;
            let now = Instant::now();
            let next = {
                let mut halves = pair.halves();
                if halves[side].died.is_some() {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                let half = &mut halves[1 - side];
                half.reader = Some(cx.waker().clone());
                if stopped {
                    return Poll::Pending;
                }
                match (half.queue.front_mut(), half.end) {
                    (_, Some((at, End::Reset))) if at <= now => {
                        half.seen = Some(now);
                        return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                    }
                    (Some((at, bytes)), _) if *at <= now => {
                        let length = bytes.len().min(buf.remaining());
                        buf.put_slice(&bytes[..length]);
                        bytes.advance(length);
                        if bytes.is_empty() {
                            half.queue.pop_front();
                        }
                        half.writer.take().into_iter().for_each(Waker::wake);
                        drop(halves);
                        if me == SERVER {
                            let mut inner = pair.net.inner();
                            inner.machines.entry(peer).or_default().heard = Some(now);
                        }
                        return Poll::Ready(Ok(()));
                    }
                    (Some((at, _)), _) => *at,
                    (None, Some((_, End::Silence)) | None) => return Poll::Pending,
                    (None, Some((at, End::Closed))) if at <= now => {
                        half.seen = Some(now);
                        return Poll::Ready(Ok(()));
                    }
                    (None, Some((at, End::Closed | End::Reset))) => at,
                }
            };
            match self.wait(next, cx) {
                Poll::Ready(()) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (pair, side) = (&self.pair, self.side);
        let (me, peer) = (pair.hosts[side], pair.hosts[1 - side]);
        let frozen = pair.net.is_frozen(me);
        let delay = pair.net.delay(me, peer);
        let mut halves = pair.halves();
        let gone = halves[1 - side].seen.is_some();
        let half = &mut halves[side];
        if half.died.is_some() || gone || half.end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let waiting: usize = half.queue.iter().map(|(_, bytes)| bytes.len()).sum();
        if frozen || waiting >= ROOM {
            half.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let length = bytes.len().min(ROOM - waiting);
        let at = half.last.map_or(Instant::now() + delay, |last| last.max(Instant::now() + delay));
        half.last = Some(at);
        half.queue.push_back((at, Bytes::copy_from_slice(&bytes[..length])));
        half.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pair.finish(self.side, End::Closed);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.pair.finish(self.side, End::Closed);
        // Who dropped it reads no more: the other end may write into nothing.
        let (now, peer) = (Instant::now(), self.pair.hosts[1 - self.side]);
        self.pair.halves()[1 - self.side].seen = Some(now);
        if self.pair.hosts[self.side] == SERVER {
            self.pair.net.inner().machines.entry(peer).or_default().left = Some(now);
        }
        self.pair.net.wake();
    }
}
