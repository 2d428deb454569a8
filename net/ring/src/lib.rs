//! io_uring: op slab, multishot, cancel-before-free.
