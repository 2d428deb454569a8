//! [`Names`]: a filter of the names that exist, which spares the stores the question for one that certainly does not.
//!
//! Thread: [`Names`] any; `names`, one, fills the filter from the stores when the server starts, page by page, and adds what is noted later.
//! Nobody waits for it: until everything is in the filter, stores are asked.
//!
//! Invariants: a "certainly free" is a hint and never a reason to give a name or to refuse it: unique indexes decide that. What other
//! processes give away is known where they share the filter ([`Ephemeral`] of Redis), and otherwise found out by the one who tries to have it.
//! A shared filter that was lost is noticed by a mark that each process puts into it, and filled again.
//!
//! Limits: [`NOTES_MAX`] names that wait to be added; one more, or one that cannot be added, and the filter is filled again. A full filter may
//! have every name. What can fail: the stores and the filter; then stores are asked.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lynk_domain::{Millis, RoomId, UserId};
use lynk_model::port::Ephemeral;
use lynk_model::{DirectFrom, Report, ReportQuery, Resolution, RoomWish};
use lynk_protocol::Reject;
use lynk_telemetry::{Metric, Snapshot};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use crate::accounts::AccountsState;

/// Names that wait to be added.
pub const NOTES_MAX: usize = 4_096;
/// Names of one page.
const PAGE: u32 = 500;
/// Pause between two pages, in which stores do other things.
const PAGE_PAUSE: Duration = Duration::from_millis(1);
/// Pause before the filter is filled again, doubled each time that it fails.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Whose name it is. The letters are part of what is in shared filters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameOf {
    /// A room's.
    Room,
    /// A user's.
    User,
}

impl NameOf {
    /// A folded name as the filter has it.
    fn entry(self, folded: &str) -> String {
        let kind = match self {
            Self::Room => 'r',
            Self::User => 'u',
        };
        format!("{kind}:{folded}")
    }
}

/// An answer of [`RoomNames`] on its way.
pub type OfRooms<'a, T> = Pin<Box<dyn Future<Output = Result<T, Reject>> + Send + 'a>>;

/// Knows the unique names of rooms. They live with the rooms; whoever asks runs on a runtime of tokio.
pub trait RoomNames: Send + Sync {
    /// Whether a folded name cannot be had.
    fn is_taken<'a>(&'a self, folded: &'a str, wall: Millis) -> OfRooms<'a, bool>;
    /// A page of names after one, at most `limit`; those that were given up are among them.
    fn page<'a>(&'a self, after: &'a str, limit: u32) -> OfRooms<'a, Vec<String>>;
}

/// What people set and see beside their rooms. It lives with the rooms; whoever asks runs on a runtime of tokio.
pub trait RoomPeople: Send + Sync {
    /// Whether a user hides from everybody whether they are online.
    fn hides(&self, user: UserId) -> OfRooms<'_, bool>;
    /// Sets that.
    fn set_hides(&self, user: UserId, hides: bool) -> OfRooms<'_, ()>;
    /// Who may begin a conversation of two with a user.
    fn direct_from(&self, user: UserId) -> OfRooms<'_, DirectFrom>;
    /// Sets that.
    fn set_direct_from(&self, user: UserId, from: DirectFrom) -> OfRooms<'_, ()>;
    /// A page of those whom a user blocks, after one (nil for the start), by id.
    fn blocked(&self, by: UserId, after: UserId, limit: u32) -> OfRooms<'_, Vec<UserId>>;
    /// Sets what a member wants to be told of a room; `false` when the user is no member.
    fn set_wish(&self, room: RoomId, user: UserId, wish: RoomWish) -> OfRooms<'_, bool>;
    /// Reports, wherever they were made: for an operator, or for who made them.
    fn reports(&self, query: ReportQuery) -> OfRooms<'_, Vec<Report>>;
    /// An operator says what came of a report of a room; `false` when no such report is open.
    fn resolve(&self, room: RoomId, resolution: Resolution, wall: Millis) -> OfRooms<'_, bool>;
}

/// There are no rooms.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRooms;

impl RoomPeople for NoRooms {
    fn hides(&self, _: UserId) -> OfRooms<'_, bool> {
        Box::pin(async { Ok(false) })
    }

    fn set_hides(&self, _: UserId, _: bool) -> OfRooms<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn direct_from(&self, _: UserId) -> OfRooms<'_, DirectFrom> {
        Box::pin(async { Ok(DirectFrom::Everyone) })
    }

    fn set_direct_from(&self, _: UserId, _: DirectFrom) -> OfRooms<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn blocked(&self, _: UserId, _: UserId, _: u32) -> OfRooms<'_, Vec<UserId>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn set_wish(&self, _: RoomId, _: UserId, _: RoomWish) -> OfRooms<'_, bool> {
        Box::pin(async { Ok(false) })
    }

    fn reports(&self, _: ReportQuery) -> OfRooms<'_, Vec<Report>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn resolve(&self, _: RoomId, _: Resolution, _: Millis) -> OfRooms<'_, bool> {
        Box::pin(async { Ok(false) })
    }
}

impl RoomNames for NoRooms {
    fn is_taken<'a>(&'a self, _: &'a str, _: Millis) -> OfRooms<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    fn page<'a>(&'a self, _: &'a str, _: u32) -> OfRooms<'a, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// What the filter said, in the order of the metric's label.
#[derive(Clone, Copy)]
enum Said {
    /// Certainly not there: a store was spared the question.
    Free,
    /// Maybe.
    Maybe,
    /// It is not filled, or away.
    Unsure,
}

/// See the module.
pub struct Names {
    filter: Arc<dyn Ephemeral>,
    /// Everything that exists is in the filter.
    complete: AtomicBool,
    /// Something is missing in it.
    lost: Notify,
    notes: mpsc::Sender<String>,
    /// In the filter as long as that is the one which this process filled.
    mark: String,
    said: [AtomicU64; 3],
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("complete", &self.complete).finish_non_exhaustive()
    }
}

impl Names {
    /// An empty filter, and what fills it. `random` tells processes apart that share it.
    #[must_use]
    pub fn new(filter: Arc<dyn Ephemeral>, random: [u8; 16]) -> (Arc<Self>, Filler) {
        let (notes, noted) = mpsc::channel(NOTES_MAX);
        let mark = format!("filled by {:032x}", u128::from_be_bytes(random));
        let names = Arc::new(Self {
            filter,
            complete: AtomicBool::new(false),
            lost: Notify::new(),
            notes,
            mark,
            said: Default::default(),
        });
        (Arc::clone(&names), Filler { names, noted })
    }

    /// Notes that a folded name exists. Does not wait.
    pub fn note(&self, of: NameOf, folded: &str) {
        if self.notes.try_send(of.entry(folded)).is_err() {
            self.lose();
        }
    }

    /// Whether nobody has a folded name, for all that is known. `false` says nothing.
    pub async fn certainly_free(&self, of: NameOf, folded: &str) -> bool {
        let said = self.ask(of, folded).await;
        self.said[said as usize].fetch_add(1, Ordering::Relaxed);
        matches!(said, Said::Free)
    }

    async fn ask(&self, of: NameOf, folded: &str) -> Said {
        if !self.complete.load(Ordering::Acquire) {
            return Said::Unsure;
        }
        match self.filter.may_have_name(of.entry(folded)).await {
            Ok(true) => return Said::Maybe,
            Ok(false) => {}
            Err(_) => return Said::Unsure,
        }
        // An empty filter that somebody began anew has none of the names either.
        match self.filter.may_have_name(self.mark.clone()).await {
            Ok(true) => Said::Free,
            Ok(false) => {
                self.lose();
                Said::Unsure
            }
            Err(_) => Said::Unsure,
        }
    }

    fn lose(&self) {
        self.complete.store(false, Ordering::Release);
        self.lost.notify_one();
    }

    /// Adds the numbers to a scrape.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (index, count) in self.said.iter().enumerate() {
            snapshot.add_at(Metric::NamesAsked, index, count.load(Ordering::Relaxed));
        }
        snapshot.add(Metric::NamesReady, u64::from(self.complete.load(Ordering::Acquire)));
        snapshot.add(Metric::NamesFull, u64::from(self.filter.names_are_full()));
    }
}

/// Fills the filter.
pub struct Filler {
    names: Arc<Names>,
    noted: mpsc::Receiver<String>,
}

/// The thread that does.
#[derive(Debug)]
pub struct NamesThread {
    thread: JoinHandle<()>,
    stop: Arc<Notify>,
}

impl NamesThread {
    /// Ends it. Before the accounts' thread, whose store it reads.
    pub fn finish(self) {
        self.stop.notify_one();
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Why a filter is not filled.
struct Incomplete;

impl From<Reject> for Incomplete {
    fn from(_: Reject) -> Self {
        Self
    }
}

impl Filler {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread, or no runtime.
    pub fn start(self, accounts: AccountsState, rooms: Arc<dyn RoomNames>) -> io::Result<NamesThread> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            // Stores outside are asked over connections.
            .enable_all()
            .max_blocking_threads(1)
            .thread_name("names-blocking")
            .build()?;
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("names".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.notified() => {}
                    () = self.work(&accounts, &*rooms) => {}
                }
            });
        })?;
        Ok(NamesThread { thread, stop })
    }

    async fn work(mut self, accounts: &AccountsState, rooms: &dyn RoomNames) {
        let mut pause = PAUSE_FIRST;
        // Accounts of a time when nobody was searched for.
        while let Ok(1..) = accounts.index_words(PAGE).await {
            sleep(PAGE_PAUSE).await;
        }
        loop {
            match self.fill(accounts, rooms).await {
                Ok(count) => {
                    tracing::info!(event = "names_filtered", count, "the filter has all names");
                    pause = PAUSE_FIRST;
                    self.follow().await;
                }
                Err(Incomplete) => {
                    tracing::debug!(event = "names_unfiltered", "the filter could not be filled")
                }
            }
            self.names.complete.store(false, Ordering::Release);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Adds all names; returns how many.
    async fn fill(&mut self, accounts: &AccountsState, rooms: &dyn RoomNames) -> Result<u64, Incomplete> {
        let mut count = 0;
        for of in [NameOf::User, NameOf::Room] {
            let mut after = String::new();
            loop {
                let page = match of {
                    NameOf::User => accounts.names_after(after, PAGE).await?,
                    NameOf::Room => rooms.page(&after, PAGE).await?,
                };
                for name in &page {
                    self.add(of.entry(name)).await?;
                }
                count += page.len() as u64;
                match page.into_iter().next_back() {
                    Some(last) => after = last,
                    None => break,
                }
                sleep(PAGE_PAUSE).await;
            }
        }
        // What was made meanwhile, behind the pages.
        while let Ok(noted) = self.noted.try_recv() {
            self.add(noted).await?;
        }
        self.add(self.names.mark.clone()).await?;
        self.names.complete.store(true, Ordering::Release);
        Ok(count)
    }

    /// Adds what is noted, until something is lost.
    async fn follow(&mut self) {
        loop {
            tokio::select! {
                () = self.names.lost.notified() => return,
                noted = self.noted.recv() => {
                    let Some(name) = noted else { return };
                    if self.add(name).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn add(&self, name: String) -> Result<(), Incomplete> {
        self.names.filter.add_name(name).await.map_err(|_| Incomplete)
    }
}
