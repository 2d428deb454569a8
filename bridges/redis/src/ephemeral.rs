//! [`RedisEphemeral`]: the port's calls as scripts and commands.
//!
//! Thread: any; clones share the connection of the bridge's thread. Nothing but the answers is awaited.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lynk_domain::{Now, UserId};
use lynk_model::StoreError;
use lynk_model::account::{Charge, Charged};
use lynk_model::local::LocalEphemeral;
use lynk_model::port::{
    Call, Ephemeral, Kept, NewCode, NewOnce, ONCE_PER_OWNER_MAX, OnceKind, PRESENCE_PER_CALL_MAX, Seen, Tried,
};
use redis::Value;

use crate::answer::{bytes, number, numbers};
use crate::filter;
use crate::key::{Keys, hex};
use crate::script::Name;
use crate::thread::{Ask, Desk, Lane};

/// What lives for minutes, in Redis.
#[derive(Clone)]
pub struct RedisEphemeral {
    desk: Desk,
    keys: Keys,
    /// Names the process in the mirror of presence.
    process: String,
    names: Arc<Names>,
}

/// Where names are filtered.
#[derive(Default)]
struct Names {
    /// The server has no filter.
    local: AtomicBool,
    /// So this process has one of its own.
    filter: LocalEphemeral,
}

impl fmt::Debug for RedisEphemeral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEphemeral").field("keys", &self.keys).finish_non_exhaustive()
    }
}

fn text(value: impl fmt::Display) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A kind of tokens as a part of keys.
fn part(kind: OnceKind) -> u8 {
    kind as u8
}

impl RedisEphemeral {
    pub(crate) fn new(desk: Desk, keys: Keys, process: [u8; 16]) -> Self {
        Self { desk, keys, process: hex(&process), names: Arc::default() }
    }

    /// Whether the filter of names is in this process, because the server has none.
    #[must_use]
    pub fn names_are_local(&self) -> bool {
        self.names.local.load(Ordering::Relaxed)
    }

    async fn run(&self, name: Name, keys: Vec<String>, args: Vec<Vec<u8>>) -> Result<Value, StoreError> {
        let lane = if matches!(name, Name::Mirror | Name::Mirrored) { Lane::Presence } else { Lane::Sign };
        Ok(self.desk.ask(lane, Ask::Script { name, keys, args }).await?)
    }

    fn code(&self, request: [u8; 16]) -> String {
        self.keys.of("code", &request)
    }

    fn token(&self, kind: OnceKind, key: [u8; 32]) -> String {
        self.keys.of(&format!("once:{}", part(kind)), &key)
    }

    fn tokens(&self, kind: OnceKind) -> String {
        self.keys.all(&format!("once:{}", part(kind)))
    }

    fn owner(&self, kind: OnceKind, owner: [u8; 16]) -> String {
        self.keys.of(&format!("owner:{}", part(kind)), &owner)
    }

    fn online(&self, users: impl Iterator<Item = UserId>) -> Vec<String> {
        users.map(|user| self.keys.of("online", &user.0)).collect()
    }
}

impl Ephemeral for RedisEphemeral {
    fn code_wait(&self, _: Now, number_of: [u8; 16]) -> Call<'_, u64> {
        Box::pin(async move {
            let mut command = redis::cmd("PTTL");
            command.arg(self.keys.of("wait", &number_of));
            match self.desk.ask(Lane::Sign, Ask::Command(command)).await? {
                // Negative for a key that is not there.
                Value::Int(millis) => Ok(u64::try_from(millis).unwrap_or(0)),
                _ => Err(StoreError::Corrupt),
            }
        })
    }

    fn put_code(&self, _: Now, code: NewCode) -> Call<'_, Kept> {
        Box::pin(async move {
            let keys = vec![
                self.keys.of("wait", &code.number),
                self.keys.of("number", &code.number),
                self.code(code.request),
            ];
            let args = vec![
                self.keys.all("code").into_bytes(),
                hex(&code.request).into_bytes(),
                code.proof.to_vec(),
                code.sealed,
                text(code.tries),
                text(code.life_millis),
                text(code.resend_millis),
            ];
            let waits = number(&self.run(Name::PutCode, keys, args).await?)?;
            Ok(if waits == 0 { Kept::Done } else { Kept::TooSoon { retry_after_millis: waits } })
        })
    }

    fn try_code(&self, _: Now, request: [u8; 16], proof: [u8; 32]) -> Call<'_, Tried> {
        Box::pin(async move {
            match self.run(Name::TryCode, vec![self.code(request)], vec![proof.to_vec()]).await? {
                Value::BulkString(sealed) => Ok(Tried::Good(sealed)),
                Value::Int(0) => Ok(Tried::Wrong),
                Value::Int(1) => Ok(Tried::Absent),
                _ => Err(StoreError::Corrupt),
            }
        })
    }

    fn set_tries(&self, _: Now, request: [u8; 16], tries: u32) -> Call<'_, ()> {
        Box::pin(async move {
            self.run(Name::SetTries, vec![self.code(request)], vec![text(tries)]).await?;
            Ok(())
        })
    }

    fn end_code(&self, _: Now, number_of: [u8; 16]) -> Call<'_, ()> {
        Box::pin(async move {
            let keys = vec![self.keys.of("number", &number_of)];
            self.run(Name::EndCode, keys, vec![self.keys.all("code").into_bytes()]).await?;
            Ok(())
        })
    }

    fn put_once(&self, _: Now, once: NewOnce) -> Call<'_, Kept> {
        Box::pin(async move {
            let NewOnce { kind, key, owner, sealed, life_millis } = once;
            if life_millis == 0 {
                return Ok(Kept::Done);
            }
            let keys = vec![self.token(kind, key), self.owner(kind, owner)];
            let args = vec![
                self.tokens(kind).into_bytes(),
                hex(&key).into_bytes(),
                hex(&owner).into_bytes(),
                sealed,
                text(life_millis),
                text(ONCE_PER_OWNER_MAX),
            ];
            self.run(Name::PutOnce, keys, args).await?;
            Ok(Kept::Done)
        })
    }

    fn look_once(&self, _: Now, kind: OnceKind, key: [u8; 32]) -> Call<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            let mut command = redis::cmd("HGET");
            command.arg(self.token(kind, key)).arg("sealed");
            bytes(self.desk.ask(Lane::Sign, Ask::Command(command)).await?)
        })
    }

    fn take_once(&self, _: Now, kind: OnceKind, key: [u8; 32]) -> Call<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            let owners = self.keys.all(&format!("owner:{}", part(kind))).into_bytes();
            let args = vec![owners, hex(&key).into_bytes()];
            bytes(self.run(Name::TakeOnce, vec![self.token(kind, key)], args).await?)
        })
    }

    fn drop_owner(&self, _: Now, kind: OnceKind, owner: [u8; 16]) -> Call<'_, ()> {
        Box::pin(async move {
            let args = vec![self.tokens(kind).into_bytes()];
            self.run(Name::DropOwner, vec![self.owner(kind, owner)], args).await?;
            Ok(())
        })
    }

    fn charge(&self, now: Now, charges: Vec<Charge>) -> Call<'_, Charged> {
        Box::pin(async move {
            let keys = charges.iter().map(|charge| self.keys.of("count", &charge.key)).collect();
            let mut args = vec![text(now.wall.0)];
            for charge in &charges {
                let (width, slice) = (charge.width(), charge.slice(now.wall));
                let (max, amount) = (u64::from(charge.max), u64::from(charge.amount));
                args.extend([charge.window_millis, width, slice, max, amount].map(text));
            }
            match numbers(&self.run(Name::Charge, keys, args).await?)?.as_slice() {
                [] => Ok(Charged::Done),
                [index, retry_after_millis] if *index < charges.len() as u64 => {
                    Ok(Charged::Refused { index: *index as usize, retry_after_millis: *retry_after_millis })
                }
                _ => Err(StoreError::Corrupt),
            }
        })
    }

    fn mirror_presence(&self, _: Now, seen: Vec<Seen>, lease_millis: u64) -> Call<'_, ()> {
        Box::pin(async move {
            assert!(seen.len() <= PRESENCE_PER_CALL_MAX, "the caller splits what is longer");
            let keys = self.online(seen.iter().map(|one| one.user));
            let mut args = vec![self.process.clone().into_bytes(), text(lease_millis)];
            args.extend(seen.iter().map(|one| text(u8::from(one.online))));
            self.run(Name::Mirror, keys, args).await?;
            Ok(())
        })
    }

    fn mirrored_presence(&self, _: Now, users: Vec<UserId>) -> Call<'_, Vec<bool>> {
        Box::pin(async move {
            assert!(users.len() <= PRESENCE_PER_CALL_MAX, "the caller splits what is longer");
            let keys = self.online(users.iter().copied());
            let counts = numbers(&self.run(Name::Mirrored, keys, Vec::new()).await?)?;
            if counts.len() != users.len() {
                return Err(StoreError::Corrupt);
            }
            Ok(counts.into_iter().map(|count| count > 0).collect())
        })
    }

    fn add_name(&self, name: String) -> Call<'_, ()> {
        Box::pin(async move {
            if !self.names_are_local() {
                let command = filter::add(&self.keys.single("names"), &name);
                match self.desk.ask(Lane::Sign, Ask::Command(command)).await {
                    Err(fault) if fault.unknown_command => self.names.local.store(true, Ordering::Relaxed),
                    answer => return Ok(answer.map(|_| ())?),
                }
            }
            self.names.filter.add_name(name).await
        })
    }

    fn may_have_name(&self, name: String) -> Call<'_, bool> {
        Box::pin(async move {
            if !self.names_are_local() {
                let question = filter::question(&self.keys.single("names"), &name);
                match self.desk.ask(Lane::Sign, Ask::Transaction(question)).await {
                    Err(fault) if fault.unknown_command => self.names.local.store(true, Ordering::Relaxed),
                    Err(fault) => return Err(fault.into()),
                    Ok(answer) => return filter::may_have(&answer).ok_or(StoreError::Corrupt),
                }
            }
            self.names.filter.may_have_name(name).await
        })
    }

    fn names_are_full(&self) -> bool {
        // That of the server grows until its memory is full, and then takes no name.
        self.names.filter.names_are_full()
    }
}
