//! Roles and the database of PostgreSQL, as SQL for `psql`.
//!
//! Thread: a command's. What roles may do with tables is not here: the migration grants it, because it makes the tables.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lynk_postgres::grants::{MIGRATE, ROLES};
use ring::{digest, hmac, pbkdf2};

use super::password::{Password, Passwords};
use crate::exit::Failure;
use crate::os;
use crate::principals::System;

/// Rounds of PBKDF2, PostgreSQL's default: our passwords are random, so more would slow down nobody but us.
const ROUNDS: NonZeroU32 = NonZeroU32::new(4_096).expect("not zero");

/// The SQL that makes the roles and `database`, a plain name.
///
/// # Errors
/// A password cannot be made or read.
pub(crate) fn sql(database: &str, passwords: &Passwords) -> Result<String, Failure> {
    let mut sql = format!(
        "-- Lynk's roles and database, for a superuser: psql -X -f THIS_FILE postgres\n\
         -- It may be run again. Clients are let in by this line of pg_hba.conf, and by no other that matches them:\n\
         --   hostssl {database} {} all scram-sha-256 clientcert=verify-full\n\
         \\set ON_ERROR_STOP on\n\
         SET client_min_messages = warning;\n\
         -- What follows must be in no log, although it holds no password.\n\
         SET log_statement = 'none';\n\
         SET log_min_error_statement = 'panic';\n",
        all_roles().collect::<Vec<_>>().join(","),
    );
    for role in all_roles() {
        let verifier = verifier(&passwords.of(role)?, &os::random()?);
        sql += &format!(
            "SELECT 'CREATE ROLE {role}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') \\gexec\n\
             ALTER ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '{verifier}';\n"
        );
    }
    sql += &format!(
        "SELECT 'CREATE DATABASE {database} OWNER {MIGRATE}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{database}') \\gexec\n\
         ALTER DATABASE {database} OWNER TO {MIGRATE};\n\
         REVOKE ALL ON DATABASE {database} FROM PUBLIC;\n\
         GRANT CONNECT ON DATABASE {database} TO {};\n",
        ROLES.join(", "),
    );
    // Of a server that is made anew; one that is there has its administrator.
    passwords.kept(System::Postgres.administrator())?;
    Ok(sql)
}

fn all_roles() -> impl Iterator<Item = &'static str> {
    [MIGRATE].into_iter().chain(ROLES)
}

/// What PostgreSQL checks a SCRAM-SHA-256 client with; the password cannot be read from it, nor can anybody sign in with it.
fn verifier(password: &Password, salt: &[u8; 16]) -> String {
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, password.bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let stored = digest::digest(&digest::SHA256, hmac::sign(&key, b"Client Key").as_ref());
    let server = hmac::sign(&key, b"Server Key");
    format!(
        "SCRAM-SHA-256${ROUNDS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored),
        STANDARD.encode(server)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3, gives a client's proof and a server's signature; both follow from the verifier.
    #[test]
    fn the_verifier_checks_the_exchange_of_the_standard() {
        let salt: [u8; 16] =
            STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64").try_into().expect("16");
        let verifier = verifier(&Password::of("pencil"), &salt);
        let (head, keys) = verifier.rsplit_once('$').expect("three parts");
        assert_eq!(head, "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==");
        let keys: Vec<_> = keys.split(':').map(|key| STANDARD.decode(key).expect("base64")).collect();
        let said = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").expect("base64");
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &keys[0]), said.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        assert_eq!(digest::digest(&digest::SHA256, &client_key).as_ref(), keys[0]);
        let server = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &keys[1]), said.as_bytes());
        assert_eq!(STANDARD.encode(server), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn every_role_is_made_and_no_password_is_in_the_text() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let passwords = Passwords::open(&temp.path().join("own"), false).expect("opens");
        let text = sql("lynk", &passwords).expect("made");
        for role in all_roles() {
            assert!(text.contains(&format!("ALTER ROLE {role} LOGIN NOSUPERUSER")), "{role}");
            let secret = passwords.of(role).expect("kept");
            assert!(!text.contains(std::str::from_utf8(secret.bytes()).expect("ASCII")), "{role}");
        }
        assert_eq!(text.matches("SCRAM-SHA-256$4096:").count(), all_roles().count());
    }
}
