//! The store bridge: embedded stores and the journal drainer on one thread.
