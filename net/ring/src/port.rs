//! How one ring names another, to wake it.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// Another thread's ring, for [`crate::Ring::wake`]. Keeps that ring's descriptor open.
#[derive(Clone, Debug)]
pub struct Port {
    pub(crate) fd: Arc<OwnedFd>,
}

impl Port {
    pub(crate) fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
