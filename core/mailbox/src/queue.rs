//! The queue: a ring of slots, an index per side, each side with a cached copy of the other's.
//!
//! Thread: one producer, one consumer, possibly two threads.
//!
//! Invariants: `head` and `tail` only grow (wrapping); `tail - head <= capacity`; the slots `head..tail` are
//! initialised and belong to the consumer, all others are uninitialised and belong to the producer. The
//! producer alone stores `tail`, the consumer alone stores `head`.
//!
//! Limits: the capacity. What can fail: [`Producer::try_post`] on a full queue, which returns the item.

#![allow(unsafe_code, reason = "slots are handed between two threads without a lock")]

use std::mem::MaybeUninit;

use crate::sync::{Arc, AtomicUsize, Ordering, OwnLines, UnsafeCell};

struct Shared<T> {
    /// Items taken so far, wrapping. Stored by the consumer.
    head: OwnLines<AtomicUsize>,
    /// Items posted so far, wrapping. Stored by the producer.
    tail: OwnLines<AtomicUsize>,
    /// Power of two many.
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is accessed by one side at a time: the producer before it publishes the slot with a release
// store of `tail`, the consumer after it saw that with an acquire load and before it gives the slot back with
// a release store of `head` (`try_post`, `take`). Items move between threads, hence `T: Send`.
unsafe impl<T: Send> Sync for Shared<T> {}

// SAFETY: as for `Sync`; the slots are owned by this value.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    fn slot(&self, index: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.slots[index & (self.slots.len() - 1)]
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Both ends are gone and the reference count ordered their last stores before this.
        let tail = self.tail.0.load(Ordering::Relaxed);
        let mut head = self.head.0.load(Ordering::Relaxed);
        while head != tail {
            self.slot(head).with_mut(|slot| {
                // SAFETY: `&mut self` excludes both ends, so the pointer is not shared.
                let slot = unsafe { &mut *slot };
                // SAFETY: slots `head..tail` are initialised (invariant of the module).
                unsafe { slot.assume_init_drop() };
            });
            head = head.wrapping_add(1);
        }
    }
}

/// Makes a queue for at least `capacity` items (rounded up to a power of two). The only allocation.
///
/// # Panics
/// When `capacity` is 0 or above 2^30.
#[must_use]
pub fn channel<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!((1..=1 << 30).contains(&capacity), "a mailbox holds between 1 and 2^30 items");
    let slots = (0..capacity.next_power_of_two()).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
    let shared =
        Arc::new(Shared { head: OwnLines(AtomicUsize::new(0)), tail: OwnLines(AtomicUsize::new(0)), slots });
    (
        Producer { shared: Arc::clone(&shared), tail: 0, head_seen: 0 },
        Consumer { shared, head: 0, tail_seen: 0 },
    )
}

/// The posting end.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    /// Our own index; the shared one always equals it.
    tail: usize,
    /// The consumer's index when we last looked: never ahead of the truth.
    head_seen: usize,
}

impl<T: Send> Producer<T> {
    /// Posts an item, visible to the consumer at once. Does not wake it: ring the receiver's
    /// [`Doorbell`](crate::Doorbell) after the last post of a batch.
    ///
    /// # Errors
    /// The item itself, when the queue is full.
    #[inline]
    pub fn try_post(&mut self, item: T) -> Result<(), T> {
        if self.tail.wrapping_sub(self.head_seen) == self.capacity() {
            self.head_seen = self.shared.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == self.capacity() {
                return Err(item);
            }
        }
        self.shared.slot(self.tail).with_mut(|slot| {
            // SAFETY: `tail - head < capacity` was checked above, so this slot is not in `head..tail` and
            // belongs to the producer; the acquire load of `head` ordered the consumer's read before it.
            unsafe { (*slot).write(item) };
        });
        self.tail = self.tail.wrapping_add(1);
        self.shared.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }

    /// Items that fit now; more may fit a moment later, never fewer.
    #[must_use]
    pub fn free(&mut self) -> usize {
        self.head_seen = self.shared.head.0.load(Ordering::Acquire);
        self.capacity() - self.tail.wrapping_sub(self.head_seen)
    }

    /// Items the queue holds at most.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    /// Whether the consumer is gone: what is posted from now on is dropped with the queue.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }
}

/// The taking end.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    /// Our own index; the shared one always equals it.
    head: usize,
    /// The producer's index when we last looked: never ahead of the truth.
    tail_seen: usize,
}

impl<T: Send> Consumer<T> {
    /// Takes the oldest item; `None` when the queue is empty.
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let item = self.shared.slot(self.head).with(|slot| {
            // SAFETY: `head != tail_seen <= tail`, so the slot belongs to the consumer and nobody writes it
            // until `head` moves on below.
            let slot = unsafe { &*slot };
            // SAFETY: the acquire load of `tail` ordered the producer's write before this read. The item is
            // read once, because `head` moves on below.
            unsafe { slot.assume_init_read() }
        });
        self.head = self.head.wrapping_add(1);
        self.shared.head.0.store(self.head, Ordering::Release);
        Some(item)
    }

    /// Whether nothing can be taken now. `false` stays true until the next [`Self::take`].
    #[inline]
    #[must_use]
    pub fn is_empty(&mut self) -> bool {
        if self.head == self.tail_seen {
            self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
        }
        self.head == self.tail_seen
    }

    /// Items that can be taken now; more may arrive a moment later.
    #[must_use]
    pub fn len(&mut self) -> usize {
        self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
        self.tail_seen.wrapping_sub(self.head)
    }

    /// Whether the producer is gone. Items that it posted before can still be taken.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicUsize as Count;

    use super::*;

    #[test]
    fn a_full_queue_refuses_and_gives_the_item_back() {
        let (mut producer, mut consumer) = channel::<Box<u32>>(3);
        assert_eq!(producer.capacity(), 4);
        for i in 0..4 {
            assert_eq!(producer.free(), 4 - i as usize);
            producer.try_post(Box::new(i)).expect("it fits");
        }
        assert_eq!(*producer.try_post(Box::new(9)).expect_err("it is full"), 9);
        assert_eq!(consumer.take().as_deref(), Some(&0));
        producer.try_post(Box::new(4)).expect("one was taken");
        assert_eq!(consumer.len(), 4);
        let taken: Vec<u32> = std::iter::from_fn(|| consumer.take()).map(|item| *item).collect();
        assert_eq!(taken, [1, 2, 3, 4]);
        assert!(consumer.is_empty());
    }

    #[test]
    fn leftovers_are_dropped_once() {
        struct Counted<'a>(&'a Count);
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let dropped = Count::new(0);
        let (mut producer, mut consumer) = channel(4);
        for _ in 0..3 {
            assert!(producer.try_post(Counted(&dropped)).is_ok());
        }
        drop(consumer.take());
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        assert!(!producer.is_abandoned());
        drop(consumer);
        assert!(producer.is_abandoned());
        assert!(producer.try_post(Counted(&dropped)).is_ok());
        drop(producer);
        assert_eq!(dropped.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn indices_survive_wrapping() {
        let (mut producer, mut consumer) = channel::<usize>(2);
        let start = usize::MAX - 2;
        producer.tail = start;
        producer.head_seen = start;
        consumer.head = start;
        consumer.tail_seen = start;
        producer.shared.head.0.store(start, Ordering::Relaxed);
        producer.shared.tail.0.store(start, Ordering::Relaxed);
        for i in 0..8 {
            producer.try_post(i).expect("it fits");
            producer.try_post(i + 100).expect("it fits");
            assert!(producer.try_post(0).is_err());
            assert_eq!((consumer.take(), consumer.take(), consumer.take()), (Some(i), Some(i + 100), None));
        }
    }

    #[test]
    fn two_threads_pass_everything_in_order() {
        const COUNT: usize = if cfg!(miri) { 300 } else { 200_000 };
        let (mut producer, mut consumer) = channel::<Box<usize>>(8);
        let sender = std::thread::spawn(move || {
            for i in 0..COUNT {
                let mut item = Box::new(i);
                while let Err(back) = producer.try_post(item) {
                    item = back;
                    std::thread::yield_now();
                }
            }
        });
        for expected in 0..COUNT {
            let item = loop {
                match consumer.take() {
                    Some(item) => break item,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!(*item, expected);
        }
        sender.join().expect("the sender does not panic");
        assert!(consumer.take().is_none());
        assert!(consumer.is_abandoned());
    }
}
