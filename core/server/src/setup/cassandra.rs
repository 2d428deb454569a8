//! Roles and the keyspace of Cassandra, as CQL for `cqlsh`.
//!
//! A new cluster has a superuser with a password that everybody knows, and a superuser cannot lock itself: hence two texts, the first for
//! that one, the second for the administrator whom the first makes.
//!
//! Thread: a command's. What roles may do with tables is not here: the migration grants it, because it makes the tables.

use lynk_cassandra::grants::{ROLES, of_keyspace};
use lynk_cassandra::{Replication, replication_map};

use super::password::{Password, Passwords};
use crate::exit::Failure;
use crate::os;
use crate::principals::System;

/// Cost of a hash, Cassandra's default: our passwords are random.
const COST: u32 = 10;

/// The first text: whoever administers, for the superuser of a new cluster.
///
/// # Errors
/// A password cannot be made or read.
pub(crate) fn administrator_cql(passwords: &Passwords) -> Result<String, Failure> {
    let role = System::Cassandra.administrator();
    let hash = hash(&passwords.of(role)?)?;
    Ok(format!(
        "-- Lynk, first text: the administrator, for the superuser of a new cluster. It may be run again.\n\
         CREATE ROLE IF NOT EXISTS {role} WITH SUPERUSER = true AND LOGIN = true;\n\
         ALTER ROLE {role} WITH HASHED PASSWORD = '{hash}';\n"
    ))
}

/// The second text: roles and keyspace, for the administrator.
///
/// # Errors
/// A password cannot be made or read, or the replication names no data centre.
pub(crate) fn roles_cql(
    keyspace: &str,
    replication: &Replication,
    passwords: &Passwords,
) -> Result<String, Failure> {
    let replication = replication_map(replication)
        .map_err(|error| Failure::new(crate::exit::Exit::Usage, format!("--replication: {error}")))?;
    let administrator = System::Cassandra.administrator();
    let mut cql = format!(
        "-- Lynk, second text: roles and keyspace, for {administrator}. It may be run again.\n\
         ALTER ROLE cassandra WITH SUPERUSER = false AND LOGIN = false;\n"
    );
    for role in ROLES {
        let hash = hash(&passwords.of(role)?)?;
        cql += &format!(
            "CREATE ROLE IF NOT EXISTS {role};\n\
             ALTER ROLE {role} WITH SUPERUSER = false AND LOGIN = true AND HASHED PASSWORD = '{hash}';\n"
        );
    }
    cql += &format!(
        "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication};\n{};\n",
        of_keyspace(keyspace)
    );
    Ok(cql)
}

fn hash(password: &Password) -> Result<String, Failure> {
    let parts = bcrypt::hash_with_salt(password.bytes(), COST, os::random()?)
        .map_err(|error| Failure::from(anyhow::anyhow!("a password could not be hashed: {error}")))?;
    // The one version that Cassandra reads.
    Ok(parts.format_for_version(bcrypt::Version::TwoA))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_hashes_of_their_passwords_and_no_password_is_in_a_text() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let passwords = Passwords::open(&temp.path().join("own"), false).expect("opens");
        let first = administrator_cql(&passwords).expect("made");
        let second = roles_cql("lynk", &Replication::Simple(1), &passwords).expect("made");
        let texts = first + &second;
        for role in ROLES.into_iter().chain(["cassandra_admin"]) {
            let secret = passwords.of(role).expect("kept");
            assert!(!texts.contains(std::str::from_utf8(secret.bytes()).expect("ASCII")), "{role}");
            let line = texts.lines().rfind(|line| line.contains(&format!(" {role} WITH"))).expect(role);
            let hash = line.split('\'').nth(1).expect("quoted");
            assert!(
                hash.starts_with("$2a$10$") && bcrypt::verify(secret.bytes(), hash).expect("a hash"),
                "{role}"
            );
        }
        assert!(texts.contains("GRANT CREATE ON KEYSPACE lynk TO lynk_cql_migrate;"), "{texts}");
        let nowhere = Replication::Datacenters(vec![("a'b".to_owned(), 1)]);
        assert!(roles_cql("lynk", &nowhere, &passwords).is_err());
    }
}
