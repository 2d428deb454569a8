//! Which room a command is for, when it does not name one.

use lynk_domain::{Key, RoomId, UserId};

/// The room that `create` with this key makes: the same for every retry, unknown to everyone else. A UUIDv7 with the
/// key's time (or hashed bits when the key has none) and bits of SHA-1 over user and key.
pub(crate) fn room_of_create(user: UserId, key: Key) -> RoomId {
    let mut sha = sha1_smol::Sha1::new();
    sha.update(&user.0);
    sha.update(&key.0);
    let digest = sha.digest().bytes();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    if key.v7_millis().is_some() {
        id[..6].copy_from_slice(&key.0[..6]);
    }
    id[6] = 0x70 | (id[6] & 0x0f);
    id[8] = 0x80 | (id[8] & 0x3f);
    RoomId(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lynk_domain::uuid_v7;

    #[test]
    fn a_created_room_depends_on_user_and_key_and_keeps_the_keys_time() {
        let key = Key(uuid_v7(1_700_000_000_000, [9; 10]));
        let room = room_of_create(UserId([1; 16]), key);
        assert_eq!(room, room_of_create(UserId([1; 16]), key));
        assert_ne!(room, room_of_create(UserId([2; 16]), key));
        assert_ne!(room, room_of_create(UserId([1; 16]), Key([7; 16])));
        assert_eq!(Key(room.0).v7_millis(), Some(1_700_000_000_000));
    }
}
