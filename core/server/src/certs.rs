//! Our own certificate authority: it signs what every outside system and every role of Lynk shows the other side.
//!
//! ```text
//! DIR/ca.crt                 whom everybody trusts
//! DIR/NAME.crt, NAME.key     a certificate and its PKCS#8 key (0600)
//! DIR/NAME.pem               of a server: both in one file, for servers that want it so
//! DIR/crl.pem                what was revoked
//! DIR/authority/ca.key       signs; needed by these commands only, so it may be kept elsewhere
//! DIR/authority/issued       a line for each certificate that has not expired
//! ```
//!
//! Keys are ECDSA P-256, one for each certificate, and never reused by a renewal. A certificate is for a server (host names, addresses), for
//! a client (its common name is the role), or for a server that also calls its like.
//!
//! Thread: a command's; blocks on the disk. Invariants: one command at a time has the authority (a lock); a file is replaced whole; what
//! would be overwritten without being asked is refused. Limits: [`ISSUED_MAX`] certificates that have not expired, [`HOSTS_MAX`] hosts of one.
//!
//! What can fail: the disk, permissions, names that are none, and a directory that another authority wrote.

mod authority;
mod issued;
mod names;
mod read;

use std::path::Path;

pub(crate) use authority::{AUTHORITY_DAYS, Authority, LEAF_DAYS};
pub(crate) use names::{Host, check_name};
pub(crate) use read::{Listed, State, list};

use crate::exit::Failure;

/// Certificates on record that have not expired.
pub(crate) const ISSUED_MAX: usize = 10_000;
/// Hosts in one certificate.
pub(crate) const HOSTS_MAX: usize = 64;
/// A certificate is due for renewal so many days before its end …
pub(crate) const DUE_DAYS: i64 = 30;
/// … or when a third of its life is left, if that is less.
pub(crate) const DUE_PART: i64 = 3;
const DAY: i64 = 24 * 60 * 60;

/// What a certificate may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Usage {
    /// A server shows it.
    Server,
    /// A client shows it; it names no host.
    Client,
    /// A server shows it, also when it calls another.
    Both,
}

impl Usage {
    /// Its name for people and scripts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Both => "both",
        }
    }
}

/// A certificate to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    /// Name of its files, and its common name.
    pub(crate) name: String,
    pub(crate) usage: Usage,
    /// Of a server.
    pub(crate) hosts: Vec<Host>,
    pub(crate) days: u16,
}

fn is_there(path: &Path) -> Result<bool, Failure> {
    path.try_exists().map_err(|error| crate::data_dir::refused(path, &error))
}
