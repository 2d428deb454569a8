//! Bounded single-producer single-consumer queues between two threads, with a doorbell.
