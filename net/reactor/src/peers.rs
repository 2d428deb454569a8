//! Mail between shards.
//!
//! Lost when a mailbox is full: nothing. Mail that may be refused goes back to the engine, which recovers as its kind
//! says. Mail that must arrive (answers) has the last quarter of each mailbox for itself, and beyond it waits here in
//! order; the engine's credit bounds how much of it there can be.

use std::collections::VecDeque;

use lynk_domain::ShardId;
use lynk_engine::Mail;
use lynk_mailbox::{Consumer, Doorbell, Producer};

/// Mail in one mailbox. There is one from each shard to each other, and its memory is taken at the start.
pub const MAILBOX_ITEMS: usize = 8_192;
/// Of these, only for answers.
const RESERVED_ITEMS: usize = MAILBOX_ITEMS / 4;

/// The mailboxes to and from one other shard.
pub(crate) struct Peer {
    pub(crate) shard: ShardId,
    pub(crate) outbound: Producer<Mail>,
    pub(crate) bell: Doorbell,
    pub(crate) inbound: Consumer<Mail>,
}

struct Link {
    peer: Peer,
    /// Answers that found the mailbox full.
    waiting: VecDeque<Mail>,
    /// Posted to since the last [`Peers::ring`].
    posted: bool,
}

/// All other shards.
pub(crate) struct Peers {
    links: Vec<Link>,
    /// Where to look for mail first, so that no shard is always last.
    first: usize,
}

impl Peers {
    pub(crate) fn new(peers: Vec<Peer>) -> Self {
        let link = |peer| Link { peer, waiting: VecDeque::new(), posted: false };
        Self { links: peers.into_iter().map(link).collect(), first: 0 }
    }

    /// Posts mail.
    ///
    /// # Errors
    /// The mail itself: its mailbox is full, or there is no such shard.
    pub(crate) fn post(&mut self, to: ShardId, mail: Mail) -> Result<(), Mail> {
        let Some(link) = self.links.iter_mut().find(|link| link.peer.shard == to) else { return Err(mail) };
        let must_arrive = must_arrive(&mail);
        if !link.waiting.is_empty() {
            // Nothing overtakes what waits: owner to home is one ordered stream.
            if must_arrive {
                link.waiting.push_back(mail);
                return Ok(());
            }
            return Err(mail);
        }
        if !must_arrive && link.peer.outbound.free() <= RESERVED_ITEMS {
            return Err(mail);
        }
        link.posted = true;
        if let Err(mail) = link.peer.outbound.try_post(mail) {
            link.waiting.push_back(mail);
        }
        Ok(())
    }

    /// Posts what waited, and gives each sleeping shard that was posted to into `wake`.
    pub(crate) fn ring(&mut self, mut wake: impl FnMut(ShardId)) {
        for link in &mut self.links {
            while let Some(mail) = link.waiting.pop_front() {
                if let Err(mail) = link.peer.outbound.try_post(mail) {
                    link.waiting.push_front(mail);
                    break;
                }
                link.posted = true;
            }
            if std::mem::take(&mut link.posted) {
                link.peer.bell.ring(|| wake(link.peer.shard));
            }
        }
    }

    /// The next mail, from whichever shard; takes turns among them.
    pub(crate) fn take(&mut self) -> Option<(ShardId, Mail)> {
        let count = self.links.len();
        for step in 0..count {
            let at = (self.first + step) % count;
            let peer = &mut self.links[at].peer;
            if let Some(mail) = peer.inbound.take() {
                self.first = at + 1;
                return Some((peer.shard, mail));
            }
        }
        None
    }

    /// Whether there is mail to take.
    pub(crate) fn has_mail(&mut self) -> bool {
        self.links.iter_mut().any(|link| !link.peer.inbound.is_empty())
    }

    /// Answers that wait for room; while there are any the shard looks again soon.
    pub(crate) fn waiting(&self) -> usize {
        self.links.iter().map(|link| link.waiting.len()).sum()
    }
}

/// Kinds that the engine never expects back.
fn must_arrive(mail: &Mail) -> bool {
    matches!(mail, Mail::Reply { .. } | Mail::Subscribed { .. } | Mail::Admitted { .. } | Mail::Peeked { .. })
}

#[cfg(test)]
mod tests {
    use lynk_domain::RoomId;
    use lynk_mailbox::{channel, sleeper};

    use super::*;

    fn refusable() -> Mail {
        Mail::Unsubscribed { room: RoomId([1; 16]), ends: 1 }
    }

    fn answer(gather: u32) -> Mail {
        Mail::Peeked { gather, room: RoomId([1; 16]), numbers: None }
    }

    #[test]
    fn answers_pass_a_full_mailbox_in_order_and_nothing_overtakes_them() {
        let (outbound, mut theirs) = channel(MAILBOX_ITEMS);
        let (_, inbound) = channel(1);
        let (mut sleeper, bell) = sleeper();
        let mut peers = Peers::new(vec![Peer { shard: ShardId(1), outbound, bell, inbound }]);
        let mut accepted = 0;
        while peers.post(ShardId(1), refusable()).is_ok() {
            accepted += 1;
        }
        assert_eq!(accepted, MAILBOX_ITEMS - RESERVED_ITEMS);
        for gather in 0..RESERVED_ITEMS as u32 + 3 {
            assert!(peers.post(ShardId(1), answer(gather)).is_ok());
        }
        assert_eq!(peers.waiting(), 3);
        assert!(theirs.take().is_some());
        assert!(peers.post(ShardId(1), refusable()).is_err(), "an answer waits before it");
        assert!(sleeper.may_sleep(|| false));
        let mut woken = Vec::new();
        peers.ring(|shard| woken.push(shard));
        assert_eq!((peers.waiting(), woken), (2, vec![ShardId(1)]));
        let mut answers = Vec::new();
        loop {
            while let Some(mail) = theirs.take() {
                if let Mail::Peeked { gather, .. } = mail {
                    answers.push(gather);
                }
            }
            if peers.waiting() == 0 {
                break;
            }
            peers.ring(|_| panic!("awake"));
        }
        assert_eq!(answers, (0..RESERVED_ITEMS as u32 + 3).collect::<Vec<_>>());
        assert!(peers.post(ShardId(7), refusable()).is_err());
    }
}
