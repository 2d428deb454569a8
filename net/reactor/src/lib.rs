//! One shard's loop and its two drivers, io_uring and epoll.
