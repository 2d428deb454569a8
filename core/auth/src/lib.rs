//! Access tokens and key ring, sans-I/O.
