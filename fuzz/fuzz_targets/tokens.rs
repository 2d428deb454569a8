//! Tokens, codes and numbers from outside: nothing panics, nothing is accepted but what the server made, and what is read is what was
//! written.
//!
//! Input: a kind (1 byte), then text; or, for kinds 4 and above, changes of a token that is good: position and byte, in turn.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lynk_auth::{Code, FactorKeys, Grant, KeySet, RecoveryCode, RefreshToken, Scope, ServerSecret, SigningKey};
use lynk_domain::{Millis, Phone, SessionId, UserId};

const NOW: Millis = Millis(1_795_456_131_000);

struct Server {
    keys: KeySet,
    secret: ServerSecret,
    access: String,
    refresh: String,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let (key, _) = SigningKey::generate([7; 32]);
    let grant = Grant {
        user: UserId([1; 16]),
        session: SessionId([2; 16]),
        epoch: 3,
        id: [4; 16],
        issued: NOW,
        expires: Millis(NOW.0 + 900_000),
    };
    let access = key.issue(&Scope::default(), &grant).reveal().to_owned();
    let secret = ServerSecret::new([5; 32]);
    let refresh = RefreshToken::first(SessionId([2; 16]), [6; 32]).reveal(&secret).reveal().to_owned();
    let keys = KeySet::new(Scope::default(), [key.public()]).expect("one key");
    Server { keys, secret, access, refresh }
});

/// `good` with the bytes at some positions replaced; `None` when it is no text any more.
fn changed(good: &str, changes: &[u8]) -> Option<String> {
    let mut bytes = good.as_bytes().to_vec();
    for change in changes.chunks_exact(2) {
        let at = usize::from(change[0]) * bytes.len() / 256;
        bytes[at] = change[1];
    }
    String::from_utf8(bytes).ok()
}

fn access(text: &str) {
    let accepted = SERVER.keys.verify(text, NOW).is_ok();
    assert_eq!(accepted, text == SERVER.access, "{text}");
}

fn refresh(text: &str) {
    if let Some(token) = RefreshToken::parse(text, &SERVER.secret) {
        assert_eq!(token.reveal(&SERVER.secret).reveal(), text);
        assert_eq!(text, SERVER.refresh, "the server made no other");
    }
}

fuzz_target!(|data: &[u8]| {
    let [kind, rest @ ..] = data else { return };
    if *kind >= 4 {
        let (good, look): (_, fn(&str)) =
            if *kind % 2 == 0 { (&SERVER.access, access) } else { (&SERVER.refresh, refresh) };
        if let Some(text) = changed(good, rest) {
            look(&text);
        }
        return;
    }
    let Ok(text) = std::str::from_utf8(rest) else { return };
    match kind {
        0 => access(text),
        1 => refresh(text),
        2 => {
            if let Some(code) = Code::parse(text) {
                assert_eq!(code.reveal(), text);
                assert!(text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit()));
            }
            if let Some(code) = RecoveryCode::parse(text) {
                let shown = code.reveal();
                assert_eq!(RecoveryCode::parse(&shown), Some(code));
                let typed: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
                assert!(typed.eq_ignore_ascii_case(&shown.replace('-', "")));
            }
            assert!(FactorKeys::new([5; 32], []).open(UserId([1; 16]), rest).is_err());
        }
        _ => {
            if let Some(phone) = Phone::from_e164(text) {
                assert_eq!(phone.as_e164(), text);
                assert!(text.starts_with(phone.prefix()) && phone.masked() != text);
            }
        }
    }
});
