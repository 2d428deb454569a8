//! Places for values that come and go, numbered and reused, in chunks that never move.

/// Values per chunk: growing by a chunk copies nothing, however many values there are.
const CHUNK: usize = 256;

/// A table of values by small numbers; the lowest free numbers are not preferred, the last freed is.
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    count: usize,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), count: 0 }
    }

    /// Puts `value` into a free place and returns its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.count += 1;
        if let Some(index) = self.free.pop() {
            let place = &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK];
            debug_assert!(place.is_none(), "a free place is empty");
            *place = Some(value);
            return index;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let base = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("pushed above when there was none");
        chunk.push(Some(value));
        u32::try_from(base + chunk.len() - 1).expect("callers limit entries far below 2^32")
    }

    /// Empties a place.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)?.take()?;
        self.free.push(index);
        self.count -= 1;
        Some(value)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)?.as_mut()
    }

    /// The number after the highest that was ever given.
    pub(crate) fn end(&self) -> u32 {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        (full + self.chunks.last().map_or(0, Vec::len)) as u32
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        self.get(index).expect("the caller keeps only numbers of filled places")
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.get_mut(index).expect("the caller keeps only numbers of filled places")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_reused_and_values_stay_where_they_are() {
        let mut slab = Slab::new();
        let numbers: Vec<u32> = (0..1_000).map(|i| slab.insert(i)).collect();
        assert_eq!(numbers, (0..1_000).collect::<Vec<u32>>());
        assert_eq!(slab.remove(300), Some(300));
        assert_eq!(slab.remove(300), None);
        assert_eq!(slab.get(300), None);
        assert_eq!(slab.insert(7), 300);
        assert_eq!((slab.len(), slab[300], slab[999]), (1_000, 7, 999));
        assert_eq!((slab.end(), Slab::<u32>::new().end()), (1_000, 0));
        assert_eq!(slab.get(1_000), None);
    }
}
