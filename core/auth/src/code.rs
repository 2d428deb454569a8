//! One-time codes: six digits that prove that somebody reads a telephone's messages.
//!
//! At rest is a keyed hash over the request's id and the digits, so a code is good for the request it was made for and for
//! nothing else. Every check costs one hash and one comparison in constant time, whether there is such a request or not.
//! Deadlines are monotonic: a wall clock that jumps moves no code's end.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lynk_domain::{Nanos, Phone};

use crate::secret::{is_mac, mac};
use crate::{CodePolicy, ServerSecret};

/// Codes that wait at a time. More than may be sent while one lives: see the range of `messages_hour`.
pub const CODES_MAX: usize = 100_000;

/// Names one request for a code. Random, and told to who asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CodeRequest(pub [u8; 16]);

/// Six digits for the telephone, and for nobody else. `Debug` shows nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Code([u8; 6]);

impl Code {
    /// The code of 16 random bytes. Of the 2^128 values of the bytes no code has 1 in 10^32 more than another.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        let mut number = u128::from_be_bytes(random) % 1_000_000;
        let mut digits = [b'0'; 6];
        for digit in digits.iter_mut().rev() {
            *digit += (number % 10) as u8;
            number /= 10;
        }
        Self(digits)
    }

    /// The code that a client sent; `None` unless it is six ASCII digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 6] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    /// The digits.
    #[must_use]
    pub fn reveal(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(redacted)")
    }
}

/// Why there is no code now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoCode {
    /// The number was sent one less than the resend time ago.
    TooSoon {
        /// When the next one may be asked for.
        retry_after_millis: u64,
    },
    /// [`CODES_MAX`] wait.
    Full,
}

/// The code was not accepted. Wrong, used, over, replaced, never made: nobody is told which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongCode;

struct Waiting {
    phone: Phone,
    hash: [u8; 32],
    expires: Nanos,
    /// 0 when the code is used or used up.
    tries_left: u32,
}

/// The last request for a number that was answered as taken.
#[derive(Clone, Copy)]
struct Last {
    request: CodeRequest,
    sent: Nanos,
    /// The last one that got a code; the same, unless it got none and was not told so.
    code: CodeRequest,
}

/// Codes that wait to be proved.
#[derive(Default)]
pub struct Codes {
    waiting: BTreeMap<CodeRequest, Waiting>,
    by_phone: BTreeMap<Phone, Last>,
    /// What may be forgotten, by when.
    forget: BTreeSet<(Nanos, CodeRequest)>,
    hashes: u64,
}

impl Codes {
    /// Whether a code may be made for `phone` now.
    ///
    /// # Errors
    /// Why not.
    pub fn may_send(&mut self, now: Nanos, phone: &Phone, policy: &CodePolicy) -> Result<(), NoCode> {
        self.forget(now);
        let resend = policy.resend_millis.saturating_mul(Nanos::MILLISECOND);
        if let Some(last) = self.by_phone.get(phone) {
            let waited = now.since(last.sent);
            if waited < resend {
                let retry_after_millis = (resend - waited).div_ceil(Nanos::MILLISECOND);
                return Err(NoCode::TooSoon { retry_after_millis });
            }
        }
        if self.waiting.len() >= CODES_MAX { Err(NoCode::Full) } else { Ok(()) }
    }

    /// Makes the code of `request`. An earlier one of the number ends.
    pub fn make(
        &mut self,
        now: Nanos,
        server: &ServerSecret,
        phone: &Phone,
        request: CodeRequest,
        random: [u8; 16],
        policy: &CodePolicy,
    ) -> Code {
        let code = Code::new(random);
        if let Some(earlier) = self.by_phone.get(phone)
            && let Some(earlier) = self.waiting.get_mut(&earlier.code)
        {
            earlier.tries_left = 0;
        }
        let life = policy.life_millis.max(policy.resend_millis).saturating_mul(Nanos::MILLISECOND);
        let expires = now.after(policy.life_millis.saturating_mul(Nanos::MILLISECOND));
        let hash = self.hash(server, request, &code);
        let waiting = Waiting { phone: phone.clone(), hash, expires, tries_left: policy.tries_max };
        self.waiting.insert(request, waiting);
        self.by_phone.insert(phone.clone(), Last { request, sent: now, code: request });
        self.forget.insert((now.after(life), request));
        code
    }

    /// Does what [`Self::make`] costs, for a request that gets no code and is not told so; the number then waits for its
    /// resend time like any other. A code that was sent before stays good: no message replaced it.
    pub fn pretend(
        &mut self,
        now: Nanos,
        server: &ServerSecret,
        phone: &Phone,
        request: CodeRequest,
        random: [u8; 16],
        policy: &CodePolicy,
    ) {
        let hash = self.hash(server, request, &Code::new(random));
        let ends = now.after(policy.resend_millis.saturating_mul(Nanos::MILLISECOND));
        let code = self.by_phone.get(phone).map_or(request, |last| last.code);
        self.waiting.insert(request, Waiting { phone: phone.clone(), hash, expires: now, tries_left: 0 });
        self.by_phone.insert(phone.clone(), Last { request, sent: now, code });
        self.forget.insert((ends, request));
    }

    /// The number that a code proves. It is used up by that.
    ///
    /// # Errors
    /// The code proves nothing; a wrong one counts as a try.
    pub fn prove(
        &mut self,
        now: Nanos,
        server: &ServerSecret,
        request: CodeRequest,
        code: &Code,
    ) -> Result<Phone, WrongCode> {
        self.forget(now);
        self.hashes += 1;
        let found = self.waiting.get_mut(&request);
        let hash = found.as_ref().map_or([0; 32], |waiting| waiting.hash);
        let message = [request.0.as_slice(), &code.0].concat();
        let right = is_mac(&server.code, &message, &hash);
        let Some(waiting) = found.filter(|waiting| waiting.tries_left > 0 && now < waiting.expires) else {
            return Err(WrongCode);
        };
        if !right {
            waiting.tries_left -= 1;
            return Err(WrongCode);
        }
        waiting.tries_left = 0;
        Ok(waiting.phone.clone())
    }

    /// Makes a code that was proved good again, for one try: what it was proved for did not happen.
    pub fn restore(&mut self, request: CodeRequest) {
        if let Some(waiting) = self.waiting.get_mut(&request) {
            waiting.tries_left = 1;
        }
    }

    /// Ends the code of a request, whose message did not go out.
    pub fn cancel(&mut self, request: CodeRequest) {
        if let Some(waiting) = self.waiting.get_mut(&request) {
            waiting.tries_left = 0;
        }
    }

    /// Hashes computed so far: a test compares the work of two paths by it.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.hashes
    }

    fn hash(&mut self, server: &ServerSecret, request: CodeRequest, code: &Code) -> [u8; 32] {
        self.hashes += 1;
        mac(&server.code, &[&request.0, &code.0])
    }

    fn forget(&mut self, now: Nanos) {
        while let Some((at, request)) = self.forget.first().copied().filter(|(at, _)| *at <= now) {
            self.forget.remove(&(at, request));
            let Some(waiting) = self.waiting.remove(&request) else { continue };
            // A number is known by its last request, and by a code that outlives it: the next one has to end that.
            if let Entry::Occupied(mut last) = self.by_phone.entry(waiting.phone) {
                let Last { request: asked, code, .. } = *last.get();
                if asked == request && !self.waiting.contains_key(&code) {
                    last.remove();
                } else if asked == request {
                    last.get_mut().request = code;
                }
            }
        }
    }
}

impl fmt::Debug for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codes({} waiting)", self.waiting.len())
    }
}

#[cfg(test)]
mod tests;
