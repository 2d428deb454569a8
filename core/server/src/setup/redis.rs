//! Users of Redis, as its file of users (`aclfile`).
//!
//! Thread: a command's. Such a file has no place for comments, and replaces all users of the server.

use lynk_redis::acl;

use super::password::Passwords;
use crate::exit::Failure;
use crate::principals::System;

/// The file: nobody without a name, Lynk's user with what the table says on keys of `prefix`, and the administrator with everything.
/// `filter` is for servers that have the commands of the filter of names.
///
/// # Errors
/// A password cannot be made or read.
pub(crate) fn users(prefix: &str, filter: bool, passwords: &Passwords) -> Result<String, Failure> {
    let hash = |user: &str| passwords.of(user).map(|password| acl::password_hash(password.text()));
    let administrator = System::Redis.administrator();
    let file = acl::file(prefix, &hash(acl::USER)?, filter);
    Ok(format!("{file}user {administrator} on #{} ~* &* +@all\n", hash(administrator)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_the_hash_of_a_password_and_no_password_is_in_the_file() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let passwords = Passwords::open(&temp.path().join("own"), false).expect("opens");
        let file = users("chat", false, &passwords).expect("made");
        assert!(file.starts_with("user default off ") && file.lines().count() == 3, "{file}");
        for (user, may) in [(acl::USER, "-@all"), ("redis_admin", "+@all")] {
            let secret = passwords.of(user).expect("kept");
            assert!(!file.contains(secret.text()), "{user}");
            let begin = format!("user {user} on #{} ", acl::password_hash(secret.text()));
            let line = file.lines().find(|line| line.starts_with(&begin)).expect(user);
            assert!(line.contains(may), "{line}");
        }
        assert!(file.contains(" ~chat:* ") && !file.contains("lynk:"), "{file}");
        assert_eq!(users("chat", false, &passwords).expect("made"), file, "the file is the same again");
    }
}
