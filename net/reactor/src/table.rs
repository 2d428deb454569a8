//! A shard's connections by slot.
//!
//! Invariant: a slot is given out again only after its socket is closed ([`Table::free`]). Grows in blocks that never
//! move, so growth copies nothing and costs no second copy of the table.

use lynk_connection::Connection;

/// Slots of one block.
const BLOCK: usize = 256;

/// One connection of a shard.
pub(crate) struct Entry<F> {
    pub(crate) connection: Connection,
    pub(crate) file: F,
    /// Bytes queued on the slow path when it was settled last.
    pub(crate) queued_bytes: u32,
    /// There may be bytes to read; no event will tell again.
    pub(crate) unread: bool,
    /// The other side closed its direction: read to the end of the stream.
    pub(crate) hung_up: bool,
    /// It is in the list of connections to read from.
    pub(crate) listed: bool,
    /// Its request head is not complete.
    pub(crate) half_open: bool,
    /// The socket is being closed.
    pub(crate) leaving: bool,
}

enum Place<F> {
    Taken(Entry<F>),
    /// The next free slot.
    Free(u32),
}

const NONE: u32 = u32::MAX;

pub(crate) struct Table<F> {
    blocks: Vec<Vec<Place<F>>>,
    free: u32,
    count: u32,
}

impl<F> Table<F> {
    pub(crate) fn new() -> Self {
        Self { blocks: Vec::new(), free: NONE, count: 0 }
    }

    /// Slots taken.
    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    /// Takes a slot for a connection whose file is made from the slot's number.
    ///
    /// # Errors
    /// What `file` failed with; no slot is taken.
    pub(crate) fn insert<E>(
        &mut self,
        connection: Connection,
        file: impl FnOnce(u32) -> Result<F, E>,
    ) -> Result<u32, E> {
        if self.free == NONE {
            self.grow();
        }
        let slot = self.free;
        let place = &mut self.blocks[slot as usize / BLOCK][slot as usize % BLOCK];
        let Place::Free(next) = *place else { unreachable!("the free list holds free slots") };
        let file = file(slot)?;
        *place = Place::Taken(Entry {
            connection,
            file,
            queued_bytes: 0,
            unread: false,
            hung_up: false,
            listed: false,
            half_open: true,
            leaving: false,
        });
        self.free = next;
        self.count += 1;
        Ok(slot)
    }

    fn grow(&mut self) {
        let first = u32::try_from(self.blocks.len() * BLOCK).expect("far fewer sockets than 2^32");
        let last = BLOCK as u32 - 1;
        let places = (0..=last).map(|i| Place::Free(if i == last { NONE } else { first + i + 1 }));
        self.blocks.push(places.collect());
        self.free = first;
    }

    pub(crate) fn get(&mut self, slot: u32) -> Option<&mut Entry<F>> {
        match self.blocks.get_mut(slot as usize / BLOCK)?.get_mut(slot as usize % BLOCK)? {
            Place::Taken(entry) => Some(entry),
            Place::Free(_) => None,
        }
    }

    /// Gives a slot back; the socket is closed.
    pub(crate) fn free(&mut self, slot: u32) -> Option<Entry<F>> {
        let place = self.blocks.get_mut(slot as usize / BLOCK)?.get_mut(slot as usize % BLOCK)?;
        if matches!(place, Place::Free(_)) {
            return None;
        }
        let Place::Taken(entry) = std::mem::replace(place, Place::Free(self.free)) else { return None };
        self.free = slot;
        self.count -= 1;
        Some(entry)
    }

    /// Slots taken, ascending.
    pub(crate) fn slots(&self) -> Vec<u32> {
        let places = self.blocks.iter().flatten().zip(0u32..);
        places.filter(|(place, _)| matches!(place, Place::Taken(_))).map(|(_, slot)| slot).collect()
    }
}

#[cfg(test)]
mod tests {
    use lynk_connection::Settings;
    use lynk_domain::{Limits, Nanos};

    use super::*;

    fn connection() -> Connection {
        let policy = lynk_http::Policy::default();
        Connection::new(Nanos(0), &Settings::new(&Limits::default(), policy))
    }

    #[test]
    fn slots_are_dense_reused_and_never_shared() {
        let mut table = Table::<u32>::new();
        for expected in 0..600u32 {
            let slot = table.insert(connection(), |slot| Ok::<_, ()>(slot * 2)).expect("no error");
            assert_eq!(slot, expected);
        }
        assert_eq!(table.free(17).map(|entry| entry.file), Some(34));
        assert!(table.free(17).is_none());
        assert!(table.get(17).is_none());
        assert_eq!(table.len(), 599);
        assert_eq!(table.insert(connection(), |_| Err::<u32, _>("no")), Err("no"));
        assert_eq!(table.len(), 599);
        assert_eq!(table.insert(connection(), |_| Ok::<_, ()>(7)), Ok(17));
        assert_eq!(table.slots().len(), 600);
        assert!(table.get(100_000).is_none());
    }

    #[test]
    fn an_idle_connection_costs_little() {
        // The descriptor of either driver is at most 8 bytes.
        assert!(size_of::<Place<u64>>() <= 104, "{}", size_of::<Place<u64>>());
    }
}
