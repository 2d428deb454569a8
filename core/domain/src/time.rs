//! Time as a value. Nothing in a core crate reads a clock: [`Now`] is passed in.

/// Monotonic nanoseconds since an arbitrary start of this process. Deadlines use it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// A deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);
    /// One millisecond.
    pub const MILLISECOND: u64 = 1_000_000;
    /// One second.
    pub const SECOND: u64 = 1_000_000_000;

    /// This instant plus `nanos`, saturating at [`Self::NEVER`].
    #[must_use]
    pub fn after(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to this instant; 0 when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Wall clock: milliseconds since the Unix epoch, UTC. Display, ids and stored expiries use it; it never
/// orders anything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Millis(pub u64);

/// Both clocks, read once per loop turn. The driver clamps `wall` so that it never goes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// For deadlines and rates.
    pub mono: Nanos,
    /// For ids, display and stored expiries.
    pub wall: Millis,
}
