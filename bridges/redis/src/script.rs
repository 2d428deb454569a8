//! The scripts: each step that reads and then writes, as one that nothing comes between.
//!
//! Thread: any. They name keys that they were not given (the earlier code of a number, the tokens of an owner), which one
//! server allows and a cluster does not. Numbers stay below 2^53, so Lua's are exact.

use redis::Script;

/// Which script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Name {
    PutCode,
    TryCode,
    SetTries,
    EndCode,
    PutOnce,
    TakeOnce,
    DropOwner,
    Charge,
    Mirror,
    Mirrored,
}

impl Name {
    const ALL: [(Self, &'static str); 10] = [
        (Self::PutCode, PUT_CODE),
        (Self::TryCode, TRY_CODE),
        (Self::SetTries, SET_TRIES),
        (Self::EndCode, END_CODE),
        (Self::PutOnce, PUT_ONCE),
        (Self::TakeOnce, TAKE_ONCE),
        (Self::DropOwner, DROP_OWNER),
        (Self::Charge, CHARGE),
        (Self::Mirror, MIRROR),
        (Self::Mirrored, MIRRORED),
    ];
}

/// The scripts with their hashes.
#[derive(Debug)]
pub(crate) struct Scripts(Vec<Script>);

impl Scripts {
    pub(crate) fn new() -> Self {
        Self(Name::ALL.iter().map(|(_, text)| Script::new(text)).collect())
    }

    pub(crate) fn get(&self, name: Name) -> &Script {
        &self.0[name as usize]
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Script> {
        self.0.iter()
    }
}

/// Keys: wait, number, code. Arguments: what keys of codes begin with, request, proof, sealed, tries, life, resend.
/// Returns how long the number has to wait; 0 when the code was kept.
const PUT_CODE: &str = r"
local wait = redis.call('PTTL', KEYS[1])
if wait > 0 then return wait end
local tries, life, resend = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local earlier = redis.call('GET', KEYS[2])
if tries > 0 then
  if earlier then redis.call('DEL', ARGV[1] .. earlier) end
else
  life = resend
end
if life > 0 then
  redis.call('HSET', KEYS[3], 'proof', ARGV[3], 'sealed', ARGV[4], 'tries', tries)
  redis.call('PEXPIRE', KEYS[3], life)
  if tries > 0 then redis.call('SET', KEYS[2], ARGV[2], 'PX', life) end
end
if resend > 0 then redis.call('SET', KEYS[1], '', 'PX', resend) end
return 0
";

/// Key: code. Argument: proof. Returns what was sealed, 0 for wrong, 1 for absent.
const TRY_CODE: &str = r"
local found = redis.call('HMGET', KEYS[1], 'tries', 'proof', 'sealed')
if not found[1] then return 1 end
if tonumber(found[1]) <= 0 then return 0 end
if found[2] ~= ARGV[1] then
  redis.call('HINCRBY', KEYS[1], 'tries', -1)
  return 0
end
redis.call('HSET', KEYS[1], 'tries', 0)
return found[3]
";

/// Key: code. Argument: tries.
const SET_TRIES: &str = r"
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'tries', ARGV[1]) end
return 0
";

/// Key: number. Argument: what keys of codes begin with.
const END_CODE: &str = r"
local earlier = redis.call('GET', KEYS[1])
if earlier then
  -- One by one: a command's keys are all of one kind.
  redis.call('DEL', ARGV[1] .. earlier)
  redis.call('DEL', KEYS[1])
end
return 0
";

/// Keys: token, owner. Arguments: what keys of the kind begin with, token, owner, sealed, life, how many an owner may have.
const PUT_ONCE: &str = r"
while redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[6]) do
  redis.call('DEL', ARGV[1] .. redis.call('LPOP', KEYS[2]))
end
redis.call('HSET', KEYS[1], 'owner', ARGV[3], 'sealed', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return 0
";

/// Key: token. Arguments: what keys of owners of the kind begin with, token. Returns what was sealed, or nothing.
const TAKE_ONCE: &str = r"
local found = redis.call('HMGET', KEYS[1], 'owner', 'sealed')
if not found[2] then return false end
redis.call('DEL', KEYS[1])
redis.call('LREM', ARGV[1] .. found[1], 0, ARGV[2])
return found[2]
";

/// Key: owner. Argument: what keys of the kind begin with.
const DROP_OWNER: &str = r"
for _, token in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do redis.call('DEL', ARGV[1] .. token) end
redis.call('DEL', KEYS[1])
return 0
";

/// Keys: counters. Arguments: the time, then for each counter window, width of a slice, begin of the slice of now, limit,
/// amount.
/// Returns nothing when all were counted, else index (from 0) of the one that is at its limit, and milliseconds.
const CHARGE: &str = r"
local now = tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
  local at = 5 * i - 3
  local window, width, limit = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 3])
  local amount = tonumber(ARGV[at + 4])
  local counted, leaving = 0, {}
  local slices = redis.call('HGETALL', key)
  for j = 1, #slices, 2 do
    local slice, count = tonumber(slices[j]), tonumber(slices[j + 1])
    if slice + width + window <= now then
      redis.call('HDEL', key, slices[j])
    elseif slice <= now + window then
      counted = counted + count
      leaving[#leaving + 1] = { slice + width + window, count }
    end
  end
  if counted + amount <= limit then
    redis.call('HINCRBY', key, ARGV[at + 2], amount)
    redis.call('PEXPIRE', key, window + 2 * width)
  else
    table.sort(leaving, function(a, b) return a[1] < b[1] end)
    local wait = window
    for _, one in ipairs(leaving) do
      counted = counted - one[2]
      if counted + amount <= limit then
        wait = one[1] - now
        break
      end
    end
    for j = 1, i - 1 do redis.call('HINCRBY', KEYS[j], ARGV[5 * j - 1], -tonumber(ARGV[5 * j + 1])) end
    return { i - 1, wait }
  end
end
return {}
";

/// Keys: users. Arguments: process, lease, then 1 or 0 for each user.
const MIRROR: &str = r"
local time = redis.call('TIME')
local over = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
for i, key in ipairs(KEYS) do
  if ARGV[2 + i] == '1' then
    redis.call('ZADD', key, string.format('%.0f', over), ARGV[1])
    redis.call('PEXPIRE', key, ARGV[2])
  else
    redis.call('ZREM', key, ARGV[1])
  end
end
return 0
";

/// Keys: users. Returns for each how many processes say that it is online.
const MIRRORED: &str = r"
local time = redis.call('TIME')
local now = string.format('(%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local counts = {}
for i, key in ipairs(KEYS) do counts[i] = redis.call('ZCOUNT', key, now, '+inf') end
return counts
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{GENERAL, GRANTS};

    #[test]
    fn scripts_are_found_by_name_and_call_only_what_is_granted() {
        let granted: Vec<&str> =
            GRANTS.iter().flat_map(|grant| grant.commands).chain(GENERAL).copied().collect();
        for (index, (name, text)) in Name::ALL.iter().enumerate() {
            assert_eq!(*name as usize, index);
            for call in text.split("redis.call('").skip(1) {
                let command = call.split('\'').next().expect("a command").to_lowercase();
                assert!(granted.contains(&&*command), "{name:?} calls {command}");
            }
        }
    }
}
