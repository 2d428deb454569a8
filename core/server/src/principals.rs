//! Who takes part beside Lynk: each outside system, its server's certificate, its administrator, and the roles that Lynk signs in with.
//! Certificates, passwords and what administrators run are all made from here, and this from the tables of the bridges.
//!
//! Thread: any. Pure.

use crate::certs::Usage;

/// An outside system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum System {
    /// Rooms and accounts.
    #[cfg(feature = "postgres")]
    Postgres,
    /// The message log.
    #[cfg(feature = "cassandra")]
    Cassandra,
}

impl System {
    /// All that this program knows.
    pub(crate) const ALL: &[Self] = &[
        #[cfg(feature = "postgres")]
        Self::Postgres,
        #[cfg(feature = "cassandra")]
        Self::Cassandra,
    ];

    /// Name of its server's certificate, and of the server in the deployments that come with Lynk.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => "postgres",
            #[cfg(feature = "cassandra")]
            Self::Cassandra => "cassandra",
        }
    }

    /// What its server does with its certificate: nodes of a cluster call each other.
    pub(crate) fn usage(self) -> Usage {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => Usage::Server,
            #[cfg(feature = "cassandra")]
            Self::Cassandra => Usage::Both,
        }
    }

    /// Who sets it up.
    pub(crate) fn administrator(self) -> &'static str {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => "postgres_admin",
            #[cfg(feature = "cassandra")]
            Self::Cassandra => "cassandra_admin",
        }
    }

    /// Whom Lynk signs in as, the role that migrates among them.
    pub(crate) fn roles(self) -> Vec<&'static str> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => {
                let ports = lynk_postgres::grants::ROLES;
                ports.into_iter().chain([lynk_postgres::grants::MIGRATE]).collect()
            }
            #[cfg(feature = "cassandra")]
            Self::Cassandra => lynk_cassandra::grants::ROLES.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_principal_has_a_name_of_its_own_that_a_certificate_may_have() {
        let mut seen = BTreeSet::new();
        for system in System::ALL.iter().copied() {
            for name in system.roles().into_iter().chain([system.name(), system.administrator()]) {
                assert_eq!(crate::certs::check_name(name), Ok(()));
                assert!(seen.insert(name), "{name} twice");
            }
        }
    }
}
