//! Loom models: interleavings of small cases under the C11 memory model; all of them for the queue, those with up to
//! three preemptions for the sleep protocol. Without that bound the model with one sender passes too (in minutes); the
//! one with two senders is too large for it.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p lynk-mailbox --release`

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::{channel, sleeper};

#[test]
fn items_arrive_once_and_in_order() {
    loom::model(|| {
        let (mut producer, mut consumer) = channel::<Box<u32>>(2);
        let sender = thread::spawn(move || {
            let mut posted = 0;
            for i in 0..3 {
                // A full queue refuses; the model does not spin.
                if producer.try_post(Box::new(i)).is_err() {
                    break;
                }
                posted += 1;
            }
            posted
        });
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.extend(consumer.take().map(|item| *item));
        }
        let posted: u32 = sender.join().expect("no panic");
        while let Some(item) = consumer.take() {
            taken.push(*item);
        }
        assert_eq!(taken, (0..posted).collect::<Vec<_>>());
    });
}

#[test]
fn a_slot_is_reused_only_after_it_was_taken() {
    loom::model(|| {
        let (mut producer, mut consumer) = channel::<Box<u32>>(1);
        producer.try_post(Box::new(1)).expect("it is empty");
        let sender = thread::spawn(move || producer.try_post(Box::new(2)).is_ok());
        let first = consumer.take().expect("posted before");
        assert_eq!(*first, 1);
        let second_posted = sender.join().expect("no panic");
        assert_eq!(consumer.take().is_some(), second_posted);
    });
}

#[test]
fn leftovers_are_dropped_whichever_end_goes_last() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    loom::model(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (mut producer, mut consumer) = channel(2);
        let counted = Counted(Arc::clone(&dropped));
        let also = Counted(Arc::clone(&dropped));
        let sender = thread::spawn(move || {
            assert!(producer.try_post(counted).is_ok());
            assert!(producer.try_post(also).is_ok());
        });
        drop(consumer.take());
        drop(consumer);
        sender.join().expect("no panic");
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    });
}

fn model_with_three_preemptions(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

/// A modelled eventfd: remembers that it was rung; waiting blocks until it was.
struct Event(Mutex<bool>, Condvar);

impl Event {
    fn ring(&self) {
        *self.0.lock().expect("no panic") = true;
        self.1.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.0.lock().expect("no panic");
        while !*rung {
            rung = self.1.wait(rung).expect("no panic");
        }
        *rung = false;
    }
}

/// Loom reports a deadlock when a wakeup is lost: the receiver waits for ever.
#[test]
fn a_sleeping_receiver_is_woken_for_every_item() {
    model_with_three_preemptions(|| {
        let (mut producer, mut consumer) = channel::<u32>(2);
        let (mut sleeper, bell) = sleeper();
        let event = Arc::new(Event(Mutex::new(false), Condvar::new()));
        let theirs = Arc::clone(&event);
        let sender = thread::spawn(move || {
            for i in 0..2 {
                producer.try_post(i).expect("two fit");
                bell.ring(|| theirs.ring());
            }
        });
        let mut taken = 0;
        while taken < 2 {
            if let Some(item) = consumer.take() {
                assert_eq!(item, taken);
                taken += 1;
            } else if sleeper.may_sleep(|| !consumer.is_empty()) {
                event.wait();
                sleeper.wake_up();
            }
        }
        sender.join().expect("no panic");
    });
}

#[test]
fn two_senders_share_one_sleep_flag() {
    model_with_three_preemptions(|| {
        let (mut sleeper, bell) = sleeper();
        let event = Arc::new(Event(Mutex::new(false), Condvar::new()));
        let mut inbound = Vec::new();
        let mut senders = Vec::new();
        for i in 0..2u32 {
            let (mut producer, consumer) = channel::<u32>(1);
            inbound.push(consumer);
            let (bell, event) = (bell.clone(), Arc::clone(&event));
            senders.push(thread::spawn(move || {
                producer.try_post(i).expect("one fits");
                bell.ring(|| event.ring());
            }));
        }
        let mut taken = 0;
        while taken < 2 {
            let before = taken;
            for consumer in &mut inbound {
                taken += u32::from(consumer.take().is_some());
            }
            if taken == before && sleeper.may_sleep(|| inbound.iter_mut().any(|c| !c.is_empty())) {
                event.wait();
                sleeper.wake_up();
            }
        }
        for sender in senders {
            sender.join().expect("no panic");
        }
    });
}

#[test]
fn one_sleep_is_rung_once() {
    model_with_three_preemptions(|| {
        let (mut sleeper, bell) = sleeper();
        let rung = Arc::new(AtomicUsize::new(0));
        assert!(sleeper.may_sleep(|| false));
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (bell, rung) = (bell.clone(), Arc::clone(&rung));
                thread::spawn(move || {
                    bell.ring(|| {
                        rung.fetch_add(1, Ordering::Relaxed);
                    })
                })
            })
            .collect();
        let rings = senders.into_iter().map(|s| s.join().expect("no panic"));
        assert_eq!(rings.filter(|ran| *ran).count(), 1);
        assert_eq!(rung.load(Ordering::Relaxed), 1);
    });
}
