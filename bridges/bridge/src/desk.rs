//! The two ends of a shard's mailboxes with a bridge.

use std::sync::Arc;

use lynk_domain::ShardId;
use lynk_mailbox::{Consumer, Doorbell, Producer, Sleeper, channel, sleeper};

/// Wakes a shard, or anything else that sleeps. Called after mail was posted; costs little when it is awake.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A shard's end. The fields are open so that a reactor can hold them in its own form.
pub struct Port<Q, P> {
    /// Requests to the bridge. A full queue means that the budget is used up.
    pub requests: Producer<Q>,
    /// Its answers, one per request, in any order.
    pub replies: Consumer<P>,
    /// The bridge's doorbell: [`Doorbell::ring`] it with [`Self::wake`] after a batch of requests.
    pub bell: Doorbell,
    /// Wakes the bridge's thread.
    pub wake: Wake,
}

impl<Q: Send, P: Send> Port<Q, P> {
    /// Wakes the bridge if it sleeps. Once per batch of requests.
    pub fn ring(&self) {
        self.bell.ring(|| (self.wake)());
    }
}

/// The bridge's end for one shard.
struct Desk<Q, P> {
    requests: Consumer<Q>,
    replies: Producer<P>,
    /// Requests taken and not answered yet.
    taken: usize,
    wake: Wake,
    replied: bool,
}

impl<Q: Send, P: Send> Desk<Q, P> {
    /// Whether a request can be taken and its reply will fit.
    fn is_ready(&mut self) -> bool {
        !self.requests.is_empty() && self.replies.free() > self.taken
    }
}

/// The bridge's ends, one per shard.
pub struct Desks<Q, P> {
    desks: Vec<Desk<Q, P>>,
    /// Whose turn it is.
    turn: usize,
    sleeper: Sleeper,
    bell: Doorbell,
    /// Wakes the bridge.
    wake: Wake,
}

impl<Q: Send, P: Send> Desks<Q, P> {
    /// The ends of no shard yet. `wake` wakes the bridge from the sleep that [`Self::may_sleep`] allowed.
    #[must_use]
    pub fn new(wake: Wake) -> Self {
        let (sleeper, bell) = sleeper();
        Self { desks: Vec::new(), turn: 0, sleeper, bell, wake }
    }

    /// Opens the mailboxes of the next shard: the first call is for shard 0. `budget` requests may wait, and as many
    /// replies; `wake` wakes the shard.
    pub fn open(&mut self, budget: usize, wake: Wake) -> Port<Q, P> {
        let (requests, incoming) = channel(budget);
        let (outgoing, replies) = channel(budget);
        self.desks.push(Desk { requests: incoming, replies: outgoing, taken: 0, wake, replied: false });
        Port { requests, replies, bell: self.bell.clone(), wake: Arc::clone(&self.wake) }
    }

    /// The next request, shards in turn. Every one must be [answered](Self::reply).
    pub fn take(&mut self) -> Option<(ShardId, Q)> {
        let count = self.desks.len();
        for index in (self.turn..count).chain(0..self.turn) {
            let desk = &mut self.desks[index];
            if !desk.is_ready() {
                continue;
            }
            if let Some(request) = desk.requests.take() {
                desk.taken += 1;
                self.turn = (index + 1) % count;
                let shard = ShardId(u16::try_from(index).expect("shards are numbered by u16"));
                return Some((shard, request));
            }
        }
        None
    }

    /// Answers a request of a shard. It is woken by the next [`Self::ring`].
    ///
    /// # Panics
    /// When the shard has no request open: the bridge answered twice.
    pub fn reply(&mut self, shard: ShardId, reply: P) {
        let desk = &mut self.desks[shard.index()];
        assert!(desk.taken > 0, "each request is answered once");
        desk.taken -= 1;
        let fits = desk.replies.try_post(reply).is_ok();
        assert!(fits, "a request is taken only when its reply fits");
        desk.replied = true;
    }

    /// Wakes every shard that was answered since the last call.
    pub fn ring(&mut self) {
        for desk in &mut self.desks {
            if std::mem::take(&mut desk.replied) {
                (desk.wake)();
            }
        }
    }

    /// Requests taken and not answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.desks.iter().map(|desk| desk.taken).sum()
    }

    /// Requests that wait, over all shards.
    pub fn waiting(&mut self) -> usize {
        self.desks.iter_mut().map(|desk| desk.requests.len()).sum()
    }

    /// Whether every shard is gone and nothing of theirs is left to take.
    pub fn is_closed(&mut self) -> bool {
        self.desks.iter_mut().all(|desk| desk.requests.is_abandoned() && desk.requests.is_empty())
    }

    /// Whether the bridge may sleep: nothing can be taken, and from now on a request wakes it. Call [`Self::wake_up`] after the
    /// sleep. A shard whose replies are full does not wake the bridge when it takes them, so sleep shortly while [`Self::waiting`] is not 0.
    pub fn may_sleep(&mut self) -> bool {
        let desks = &mut self.desks;
        self.sleeper.may_sleep(|| desks.iter_mut().any(Desk::is_ready))
    }

    /// The sleep is over.
    pub fn wake_up(&mut self) {
        self.sleeper.wake_up();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread::Thread;
    use std::time::Duration;

    use super::*;

    fn counted() -> (Wake, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let inner = Arc::clone(&count);
        let wake = move || {
            inner.fetch_add(1, Ordering::Relaxed);
        };
        (Arc::new(wake), count)
    }

    #[test]
    fn shards_take_turns_and_are_woken_once() {
        let mut desks = Desks::<u32, u32>::new(Arc::new(|| ()));
        let (wake, woken) = counted();
        let (idle_wake, idle_woken) = counted();
        let mut busy = desks.open(8, wake);
        let mut idle = desks.open(8, idle_wake);
        for request in 0..4 {
            busy.requests.try_post(request).expect("within the budget");
        }
        idle.requests.try_post(100).expect("within the budget");
        let mut order = Vec::new();
        while let Some((shard, request)) = desks.take() {
            order.push(request);
            desks.reply(shard, request + 1_000);
        }
        assert_eq!(order, [0, 100, 1, 2, 3], "one busy shard does not hold up the others");
        desks.ring();
        desks.ring();
        assert_eq!((woken.load(Ordering::Relaxed), idle_woken.load(Ordering::Relaxed)), (1, 1));
        assert_eq!(busy.replies.take(), Some(1_000));
        assert_eq!(idle.replies.take(), Some(1_100));
    }

    #[test]
    fn a_request_is_taken_only_when_its_reply_fits() {
        let mut desks = Desks::<u32, u32>::new(Arc::new(|| ()));
        let mut port = desks.open(2, Arc::new(|| ()));
        for request in 0..2 {
            port.requests.try_post(request).expect("within the budget");
        }
        while let Some((shard, request)) = desks.take() {
            desks.reply(shard, request);
        }
        port.requests.try_post(2).expect("the first two were taken");
        port.requests.try_post(3).expect("the first two were taken");
        assert!(port.requests.try_post(4).is_err(), "a slow shard is refused, the bridge is not blocked");
        assert_eq!(desks.take(), None, "no reply would fit");
        assert_eq!(port.replies.take(), Some(0));
        let (shard, request) = desks.take().expect("one reply fits");
        assert_eq!((request, desks.in_flight()), (2, 1));
        assert_eq!(desks.take(), None, "the place is spoken for");
        desks.reply(shard, request);
    }

    #[test]
    #[should_panic(expected = "each request is answered once")]
    fn answering_twice_is_our_bug() {
        let mut desks = Desks::<u32, u32>::new(Arc::new(|| ()));
        let mut port = desks.open(2, Arc::new(|| ()));
        port.requests.try_post(0).expect("within the budget");
        let (shard, _) = desks.take().expect("posted");
        desks.reply(shard, 0);
        desks.reply(shard, 0);
    }

    #[test]
    fn a_sleeping_bridge_is_woken_and_sees_the_end() {
        let thread = Arc::new(OnceLock::<Thread>::new());
        let sleeper = Arc::clone(&thread);
        let mut desks = Desks::<u64, u64>::new(Arc::new(move || {
            if let Some(thread) = sleeper.get() {
                thread.unpark();
            }
        }));
        let ports: Vec<_> = (0..3).map(|_| desks.open(4, Arc::new(|| ()))).collect();
        let bridge = std::thread::spawn(move || {
            thread.get_or_init(std::thread::current);
            let mut answered = 0u64;
            while !desks.is_closed() {
                while let Some((shard, request)) = desks.take() {
                    answered += 1;
                    desks.reply(shard, request * 2);
                }
                desks.ring();
                if desks.may_sleep() {
                    std::thread::park_timeout(Duration::from_millis(20));
                    desks.wake_up();
                }
            }
            answered
        });
        let shards: Vec<_> = ports
            .into_iter()
            .map(|mut port| {
                std::thread::spawn(move || {
                    for request in 0..200 {
                        port.requests.try_post(request).expect("one at a time fits");
                        port.ring();
                        let reply = loop {
                            if let Some(reply) = port.replies.take() {
                                break reply;
                            }
                            std::thread::yield_now();
                        };
                        assert_eq!(reply, request * 2);
                    }
                })
            })
            .collect();
        for shard in shards {
            shard.join().expect("a shard gets its answers");
        }
        assert_eq!(bridge.join().expect("the bridge ends"), 600);
    }
}
