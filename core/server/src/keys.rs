//! The access keys of a data directory over time: which there are, and changing the one that signs.
//!
//! ```text
//! access.p8                  signs
//! access-next.p8             accepted and published, signs after the next rotation
//! access-retired-TIME.p8     accepted until a rotation drops it, its overlap after TIME (seconds since 1970) or later
//! access-*.p8                accepted
//! ```
//!
//! A key is published one rotation before it signs, so that whoever checks tokens by the server's JWKS, and keeps what it
//! read, knows it by then. Every step leaves a directory that can be served from: a rotation that is cut short loses
//! nothing, and the next one goes on.
//!
//! Thread: a command's; blocks on the disk. What can fail: the disk, permissions, and another rotation at the same time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use lynk_auth::SigningKey;
use lynk_domain::Millis;

use crate::data_dir::{SIGNING_KEY, check_private, read_key, refused, sync_dir, write_new};
use crate::exit::Failure;
use crate::os;

const NEXT_KEY: &str = "access-next.p8";
const RETIRED: &str = "access-retired-";
const SUFFIX: &str = ".p8";

/// What a key is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Role {
    /// New tokens are signed with it.
    Signs,
    /// It signs after the next rotation.
    Next,
    /// It signed until then; milliseconds since 1970.
    Retired(Millis),
    /// An operator put it there.
    Accepted,
}

impl Role {
    /// Its name for people and scripts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Signs => "signs",
            Self::Next => "next",
            Self::Retired(_) => "retired",
            Self::Accepted => "accepted",
        }
    }

    fn of(file: &str) -> Option<Self> {
        if file == SIGNING_KEY {
            return Some(Self::Signs);
        }
        if file == NEXT_KEY {
            return Some(Self::Next);
        }
        let name = file.strip_suffix(SUFFIX)?;
        if let Some(seconds) = name.strip_prefix(RETIRED).and_then(|text| text.parse::<u64>().ok()) {
            return Some(Self::Retired(Millis(seconds.saturating_mul(1_000))));
        }
        name.starts_with("access-").then_some(Self::Accepted)
    }
}

/// One key of the directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listed {
    pub(crate) role: Role,
    pub(crate) kid: String,
    pub(crate) path: PathBuf,
}

/// The keys of a data directory, the one that signs first.
///
/// # Errors
/// The directory or a key cannot be read, or is readable for others.
pub(crate) fn list(root: &Path) -> Result<Vec<Listed>, Failure> {
    let dir = root.join("keys");
    let entries = fs::read_dir(&dir).map_err(|error| {
        refused(&dir, &error).cure(format!(
            "start `lynk serve --data {}` once: it makes the keys; or name the right directory with --data",
            root.display()
        ))
    })?;
    check_private(&dir)?;
    let mut keys = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| refused(&dir, &error))?.path();
        let role = path.file_name().and_then(|name| name.to_str()).and_then(Role::of);
        if let Some(role) = role {
            let kid = read_key(&path)?.public().kid().to_owned();
            keys.push(Listed { role, kid, path });
        }
    }
    keys.sort_by(|a, b| (a.role, &a.path).cmp(&(b.role, &b.path)));
    Ok(keys)
}

/// How to rotate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation {
    /// Now.
    pub(crate) wall: Millis,
    /// How long a key that signed is still accepted.
    pub(crate) overlap_millis: u64,
    /// Whether somebody else may have the keys: then all are dropped at once, also the one that was to sign next.
    pub(crate) compromised: bool,
}

/// What a rotation did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rotated {
    /// The keys there are now.
    pub(crate) keys: Vec<Listed>,
    /// Keys that are accepted no more.
    pub(crate) dropped: Vec<String>,
}

/// Makes the next key the one that signs. Whoever serves from the directory must read its keys again.
///
/// # Errors
/// There are no keys, another rotation runs, or the disk refuses; then the keys are good as they are.
pub(crate) fn rotate(root: &Path, rotation: Rotation) -> Result<Rotated, Failure> {
    let dir = root.join("keys");
    let mut before = list(root)?;
    if !before.iter().any(|key| key.role == Role::Signs) {
        return Err(Failure::dependency(format!("{} does not exist", dir.join(SIGNING_KEY).display()))
            .cure(format!("start `lynk serve --data {}` once: it makes the key", root.display())));
    }
    let guard = File::open(&dir).map_err(|error| refused(&dir, &error))?;
    if rustix::fs::flock(&guard, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(Failure::dependency("another rotation is going on")
            .cure("wait for it, then look: lynk keys list"));
    }
    let (signing, next) = (dir.join(SIGNING_KEY), dir.join(NEXT_KEY));
    if rotation.compromised || !next.exists() {
        put_key(&dir, &next)?;
    }
    if !rotation.compromised {
        retire(&dir, &signing, rotation.wall)?;
        forget_retired(&mut before)?;
    }
    // In one step: at no moment is there no key that signs.
    fs::rename(&next, &signing).map_err(|error| refused(&signing, &error))?;
    put_key(&dir, &next)?;
    let mut dropped = drop_old(&before, rotation)?;
    sync_dir(&dir)?;
    let keys = list(root)?;
    // One key may have had two files.
    dropped.sort();
    dropped.dedup();
    dropped.retain(|kid| keys.iter().all(|key| key.kid != *kid));
    Ok(Rotated { keys, dropped })
}

/// A new key at `path`, in one step.
fn put_key(dir: &Path, path: &Path) -> Result<(), Failure> {
    let (_, kept) = SigningKey::generate(os::random()?);
    let fresh = dir.join("new.p8");
    let _left_by_a_rotation_cut_short = fs::remove_file(&fresh);
    write_new(&fresh, kept.as_bytes(), 0o600)?;
    fs::rename(&fresh, path).map_err(|error| refused(path, &error))?;
    sync_dir(dir)
}

/// Gives the key that signs its retired name, beside the one it has.
fn retire(dir: &Path, signing: &Path, wall: Millis) -> Result<(), Failure> {
    let mut seconds = wall.0 / 1_000;
    loop {
        let retired = dir.join(format!("{RETIRED}{seconds}{SUFFIX}"));
        match fs::hard_link(signing, &retired) {
            Ok(()) => return sync_dir(dir),
            // Two rotations in one second.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => seconds += 1,
            Err(error) => return Err(refused(&retired, &error)),
        }
    }
}

/// Removes the retired names that a rotation cut short gave the key that signs: it has signed since, and has a later one.
fn forget_retired(before: &mut Vec<Listed>) -> Result<(), Failure> {
    let signing: Vec<String> =
        before.iter().filter(|key| key.role == Role::Signs).map(|key| key.kid.clone()).collect();
    let (early, kept): (Vec<_>, Vec<_>) = std::mem::take(before)
        .into_iter()
        .partition(|key| matches!(key.role, Role::Retired(_)) && signing.contains(&key.kid));
    *before = kept;
    for key in early {
        fs::remove_file(&key.path).map_err(|error| refused(&key.path, &error))?;
    }
    Ok(())
}

/// Removes keys whose tokens are over, or all that were there when they may be in other hands.
fn drop_old(before: &[Listed], rotation: Rotation) -> Result<Vec<String>, Failure> {
    let mut dropped = Vec::new();
    for key in before {
        let over = match key.role {
            Role::Retired(at) => rotation.wall.0.saturating_sub(at.0) >= rotation.overlap_millis,
            Role::Accepted | Role::Signs | Role::Next => false,
        };
        let replaced = matches!(key.role, Role::Signs | Role::Next);
        if rotation.compromised || over {
            // Those that were replaced have no file any more.
            if !replaced {
                fs::remove_file(&key.path).map_err(|error| refused(&key.path, &error))?;
            }
            dropped.push(key.kid.clone());
        }
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use lynk_auth::Scope;

    use super::*;
    use crate::data_dir::{DataDir, Keys};

    const HOUR: u64 = 3_600_000;

    fn at(hour: u64) -> Rotation {
        Rotation { wall: Millis(1_795_456_131_000 + hour * HOUR), overlap_millis: HOUR, compromised: false }
    }

    fn kid(keys: &[Listed], role: fn(Role) -> bool) -> Vec<String> {
        keys.iter().filter(|key| role(key.role)).map(|key| key.kid.clone()).collect()
    }

    fn signs(role: Role) -> bool {
        role == Role::Signs
    }

    fn next(role: Role) -> bool {
        role == Role::Next
    }

    fn retired(role: Role) -> bool {
        matches!(role, Role::Retired(_))
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_accepted_after_it_did() {
        let temp = tempfile::tempdir().expect("temporary directory");
        assert!(list(temp.path()).expect_err("no keys yet").to_string().contains("lynk serve"));
        let dir = DataDir::open(temp.path()).expect("opens");
        let first =
            dir.keys().expect("made").accepted(Scope::default()).expect("one").keys()[0].kid().to_owned();
        let one = rotate(temp.path(), at(0)).expect("rotates").keys;
        assert_eq!(kid(&one, retired), [first.as_str()]);
        let two = rotate(temp.path(), at(1)).expect("rotates");
        assert_eq!(kid(&two.keys, signs), kid(&one, next), "the one that was published");
        assert_eq!(kid(&two.keys, retired), kid(&one, signs), "and the first one is over");
        assert_eq!(two.dropped, [first]);
        // Two rotations at once drop nothing that is needed.
        let three = rotate(temp.path(), at(1)).expect("rotates").keys;
        let four = rotate(temp.path(), at(1)).expect("rotates").keys;
        assert_eq!(kid(&four, retired).len(), 3);
        assert_eq!(kid(&four, signs), kid(&three, next));
        let accepted = Keys::load(temp.path()).expect("loads").ring(Scope::default()).expect("a ring");
        assert_eq!(accepted.accepted().keys()[0].kid(), kid(&four, signs)[0]);
        assert_eq!(accepted.accepted().keys().len(), four.len());
    }

    #[test]
    fn a_rotation_that_was_cut_short_leaves_keys_to_serve_with() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = DataDir::open(temp.path()).expect("opens");
        dir.keys().expect("made");
        let keys = temp.path().join("keys");
        rotate(temp.path(), at(0)).expect("rotates");
        // After the link, before the rename; and after the rename, before the new next key.
        fs::hard_link(keys.join(SIGNING_KEY), keys.join("access-retired-9.p8")).expect("ours");
        fs::write(keys.join("new.p8"), "half").expect("ours");
        assert!(Keys::load(temp.path()).expect("loads").accepted(Scope::default()).is_ok());
        fs::rename(keys.join(NEXT_KEY), keys.join(SIGNING_KEY)).expect("ours");
        assert!(Keys::load(temp.path()).expect("loads").accepted(Scope::default()).is_ok());
        let after = rotate(temp.path(), at(2)).expect("goes on");
        assert_eq!(kid(&after.keys, next).len(), 1);
        assert_eq!(after.dropped.len(), 2, "both old ones are over");
        let entries = fs::read_dir(&keys).expect("readable").count();
        assert_eq!(entries, after.keys.len(), "nothing is left over");
    }

    #[test]
    fn a_rotation_cut_short_and_done_again_within_the_overlap_leaves_keys_to_serve_with() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = DataDir::open(temp.path()).expect("opens");
        dir.keys().expect("made");
        let keys = temp.path().join("keys");
        let serves = || Keys::load(temp.path()).expect("loads").accepted(Scope::default()).is_ok();
        rotate(temp.path(), at(0)).expect("rotates");
        let cut = |name: &str| fs::hard_link(keys.join(SIGNING_KEY), keys.join(name)).expect("ours");
        let seconds = at(1).wall.0 / 1_000;
        cut(&format!("{RETIRED}{}{SUFFIX}", seconds - 600));
        let signed = kid(&list(temp.path()).expect("lists"), signs);
        let after = rotate(temp.path(), at(1)).expect("goes on");
        assert!(serves());
        let again: Vec<_> = after.keys.iter().filter(|key| key.kid == signed[0]).collect();
        assert_eq!(again.len(), 1, "one file");
        assert_eq!(again[0].role, Role::Retired(Millis(seconds * 1_000)), "it signed until now");
        // What an earlier version left: one retired key in two files.
        fs::hard_link(&again[0].path, keys.join("access-retired-9.p8")).expect("ours");
        assert!(serves());
        let last = rotate(temp.path(), at(1)).expect("rotates");
        assert!(!last.dropped.contains(&signed[0]), "it is still accepted");
        assert!(serves());
    }

    #[test]
    fn compromised_keys_are_dropped_at_once() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = DataDir::open(temp.path()).expect("opens");
        dir.keys().expect("made");
        rotate(temp.path(), at(0)).expect("rotates");
        let before = rotate(temp.path(), at(0)).expect("rotates").keys;
        let after = rotate(temp.path(), Rotation { compromised: true, ..at(0) }).expect("rotates");
        assert_eq!(after.keys.len(), 2, "one that signs, one for the next time");
        assert_eq!(after.dropped.len(), before.len());
        assert!(after.keys.iter().all(|key| before.iter().all(|old| old.kid != key.kid)));
    }
}
