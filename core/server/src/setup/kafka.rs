//! Users, topics and rights of Kafka, for its own tools: the Rust client's administration has no users and no rights.
//!
//! A new broker knows nobody, so there are two texts: arguments for whoever formats its storage, with the administrator, and a program for the
//! shell, which the administrator runs.
//!
//! Thread: a command's. The first text has what the password is checked with, salted; whoever has that can sign in, so it is as secret as the
//! password. The second has nothing secret: it reads the files of passwords when it runs, because the tools take no other form of them.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lynk_kafka::topics::{USERS, acl_arguments, topic_arguments};
use ring::{digest, pbkdf2};

use super::password::{Password, Passwords};
use crate::exit::Failure;
use crate::os;
use crate::principals::System;

/// Rounds of PBKDF2, the least that Kafka takes: our passwords are random, so more would slow down nobody but us.
const ROUNDS: NonZeroU32 = NonZeroU32::new(4_096).expect("not zero");

/// The first text: arguments of `kafka-storage.sh format`, one a line, in the form of a file that it reads (`@FILE`).
///
/// # Errors
/// A password cannot be made or read.
pub(crate) fn administrator_arguments(passwords: &Passwords) -> Result<String, Failure> {
    let administrator = System::Kafka.administrator();
    let salt = os::random::<16>()?;
    let salted = salted(&passwords.of(administrator)?, &salt);
    Ok(format!(
        "--add-scram\nSCRAM-SHA-512=[name=\"{administrator}\",salt=\"{}\",saltedpassword=\"{}\",iterations={ROUNDS}]\n",
        STANDARD.encode(salt),
        STANDARD.encode(salted)
    ))
}

fn salted(password: &Password, salt: &[u8]) -> [u8; digest::SHA512_OUTPUT_LEN] {
    let mut salted = [0; digest::SHA512_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, ROUNDS, salt, password.bytes(), &mut salted);
    salted
}

/// The second text: a program for the administrator that makes users, topics in `replicas` copies, and rights. It may be run again.
///
/// # Errors
/// A password cannot be made or read.
pub(crate) fn roles_program(replicas: u16, passwords: &Passwords) -> Result<String, Failure> {
    let administrator = System::Kafka.administrator();
    // A broker that runs keeps its administrator.
    passwords.kept(administrator)?;
    for user in USERS {
        passwords.of(user)?;
    }
    let users: String = USERS.iter().map(|user| format!("user {user}\n")).collect();
    let rights: String = acl_arguments().iter().map(|call| format!("tool kafka-acls.sh {call}\n")).collect();
    let topics: String =
        topic_arguments(replicas).iter().map(|call| format!("again tool kafka-topics.sh {call}\n")).collect();
    Ok(PROGRAM
        .replace("@administrator@", administrator)
        .replace("@rounds@", &ROUNDS.to_string())
        .replace("@users@", &users)
        .replace("@rights@", &rights)
        .replace("@topics@", &topics))
}

const PROGRAM: &str = r#"#!/bin/sh
# Lynk's users, rights and topics on Kafka, for @administrator@. It holds no secret, and may be run again.
#
#   sh THIS_FILE HOST:PORT DIRECTORY [TOOLS]
#
# DIRECTORY has ca.crt, @administrator@.crt and .key, and NAME.password of @administrator@ and of each user. TOOLS is the folder of Kafka's own
# tools, when they are not on the PATH.
set -eu
umask 077
broker=$1 secrets=$2 tools=${3:+$3/}
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT

tool() { # NAME ARGUMENT…
	tool=$tools$1
	shift
	"$tool" --bootstrap-server "$broker" --command-config "$home/administrator" "$@"
}
# A broker answers a moment before it takes everything.
again() {
	tries=30
	until "$@" >"$home/said" 2>&1; do
		tries=$((tries - 1))
		if [ "$tries" = 0 ]; then
			cat "$home/said" >&2
			exit 1
		fi
		sleep 2
	done
}

# Passwords go through files: arguments and environment can be seen by others. Quoted for the JAAS language, then for a file of properties.
password=$(sed 's/["\\]/\\&/g; s/\\/\\\\/g' "$secrets/@administrator@.password")
cat "$secrets/@administrator@.key" "$secrets/@administrator@.crt" >"$home/administrator.pem"
cat >"$home/administrator" <<END
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="@administrator@" password="$password";
ssl.keystore.type=PEM
ssl.keystore.location=$home/administrator.pem
ssl.truststore.type=PEM
ssl.truststore.location=$secrets/ca.crt
END
user() { # NAME
	printf 'SCRAM-SHA-512=iterations=@rounds@,password=%s\n' "$(sed 's/\\/\\\\/g' "$secrets/$1.password")" >"$home/user"
	tool kafka-configs.sh --alter --entity-type users --entity-name "$1" --add-config-file "$home/user"
}

again tool kafka-configs.sh --describe --entity-type users --entity-name @administrator@
@users@@rights@@topics@"#;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7914 has no vectors of SHA-512; this one is OpenSSL's:
    /// `openssl kdf -keylen 64 -kdfopt digest:SHA512 -kdfopt pass:pencil -kdfopt salt:0123456789abcdef -kdfopt iter:4096 PBKDF2`.
    #[test]
    fn a_password_is_salted_as_openssl_does_it() {
        let salted = salted(&Password::of("pencil"), b"0123456789abcdef");
        assert_eq!(
            STANDARD.encode(salted),
            "lx09IjZlvpg0vqHcE9KeRLHSz0dHYbOW8f+aDDbJnylpnGAu4U+E75nBhoM3aBtuyhbHISvlcdjpHw3BMWXspw=="
        );
    }

    #[test]
    fn everybody_is_made_and_no_password_is_in_a_text() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let passwords = Passwords::open(&temp.path().join("own"), false).expect("opens");
        let first = administrator_arguments(&passwords).expect("made");
        let second = roles_program(3, &passwords).expect("made");
        for user in USERS.into_iter().chain(["kafka_admin"]) {
            let secret = passwords.kept(user).expect("kept");
            let secret = std::str::from_utf8(secret.bytes()).expect("ASCII");
            assert!(!first.contains(secret) && !second.contains(secret), "{user}");
        }
        assert!(
            first.starts_with("--add-scram\nSCRAM-SHA-512=[name=\"kafka_admin\",salt=\""),
            "one argument a line"
        );
        assert_eq!(first.lines().count(), 2);
        for user in USERS {
            assert!(second.contains(&format!("\nuser {user}\n")), "{user}");
        }
        assert_eq!(second.matches("\nagain tool kafka-topics.sh --create ").count(), 6);
        assert_eq!(second.matches("\ntool kafka-acls.sh --add ").count(), 5);
        assert!(second.contains("--replication-factor 3") && !second.contains("@users@"), "{second}");
        // New passwords leave the administrator, whom the broker would not know any more.
        let kept = passwords.kept("kafka_admin").expect("kept");
        let rotated = Passwords::open(&temp.path().join("own"), true).expect("opens");
        let before = passwords.kept("lynk_events").expect("kept");
        assert_eq!(roles_program(3, &rotated).expect("made"), second, "it has nothing of a password");
        assert_eq!(passwords.kept("kafka_admin").expect("kept"), kept);
        assert_ne!(passwords.kept("lynk_events").expect("kept"), before);
    }
}
