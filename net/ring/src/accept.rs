//! What a failed accept means: one table for the ring and for drivers that accept by themselves.
//!
//! Linux passes network errors of the connection that is taken out of the queue on to accept(2), so most of its errors
//! are about that one connection. A listener must neither stop for those nor turn in circles for the others.

use std::io;

/// Failures of [`AcceptFailure::Passing`] in a row after which a listener should pause all the same: something refuses
/// every connection.
pub const PASSING_FAILURES_MAX: u32 = 128;

/// What to do about a failed accept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AcceptFailure {
    /// It is about the connection that was taken out of the queue, or about nothing: accept the next one.
    Passing,
    /// Descriptors or memory ran out: try again after a while. More of them would help.
    Exhausted,
    /// Anything else, and unlikely to go away by itself: try again after a while.
    Broken,
}

impl AcceptFailure {
    /// The meaning of accept's `error`.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            // EPERM is a firewall's answer.
            Some(
                libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EOPNOTSUPP
                | libc::EPERM
                | libc::EINTR
                | libc::EAGAIN,
            ) => Self::Passing,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Self::Exhausted,
            _ => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_one_connection_pass() {
        let of = |errno| AcceptFailure::of(&io::Error::from_raw_os_error(errno));
        for errno in [libc::ECONNABORTED, libc::EPROTO, libc::EHOSTUNREACH, libc::ENONET, libc::EPERM] {
            assert_eq!(of(errno), AcceptFailure::Passing, "{errno}");
        }
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert_eq!(of(errno), AcceptFailure::Exhausted, "{errno}");
        }
        for errno in [libc::EINVAL, libc::EBADF, libc::ENOTSOCK, libc::EACCES] {
            assert_eq!(of(errno), AcceptFailure::Broken, "{errno}");
        }
        assert_eq!(AcceptFailure::of(&io::ErrorKind::NotFound.into()), AcceptFailure::Broken);
    }
}
