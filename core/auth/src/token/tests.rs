use super::*;
use crate::PublicKey;

const WALL: Millis = Millis(1_795_456_131_123);

fn key(seed: u8) -> SigningKey {
    SigningKey::generate([seed; 32]).0
}

fn set(keys: &[&SigningKey]) -> KeySet {
    KeySet::new(Scope::default(), keys.iter().map(|key| key.public())).expect("a valid set")
}

fn grant() -> Grant {
    Grant {
        user: UserId([1; 16]),
        session: SessionId([2; 16]),
        epoch: 7,
        id: [3; 16],
        issued: WALL,
        expires: Millis(WALL.0 + 900_000),
    }
}

fn issue() -> String {
    key(1).issue(&Scope::default(), &grant()).reveal().to_owned()
}

fn encode(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

/// A token of any header and claims, signed well.
fn sign(key: &SigningKey, header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(key.pair.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn header(key: &SigningKey) -> String {
    format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, key.public().kid())
}

const PAYLOAD: &str = r#"{"iss":"lynk","aud":"lynk","sub":"01010101-0101-0101-0101-010101010101","sid":"02020202-0202-0202-0202-020202020202","iat":1795456131,"nbf":1795456131,"exp":1795457031,"jti":"AwMD"}"#;

fn verify(token: &str) -> Result<Claims, TokenError> {
    set(&[&key(1)]).verify(token, WALL)
}

/// The valid payload with `from` replaced by `to`, signed well.
fn with_claim(from: &str, to: &str) -> String {
    assert!(PAYLOAD.contains(from), "{from} is part of the payload");
    sign(&key(1), &header(&key(1)), &PAYLOAD.replace(from, to))
}

#[test]
fn an_issued_token_verifies_with_its_claims() {
    let claims = verify(&issue()).expect("a good token");
    assert_eq!(claims.user, UserId([1; 16]));
    assert_eq!(claims.session, SessionId([2; 16]));
    assert_eq!(claims.epoch, 7);
    assert_eq!(claims.expires, Millis((WALL.0 + 900_000) / 1_000 * 1_000));
    assert_eq!(verify(&sign(&key(1), &header(&key(1)), PAYLOAD)).map(|c| c.user), Ok(claims.user));
    assert!(issue().len() < 600);
}

#[test]
fn a_token_says_when_its_user_was_asked_last_and_not_later_than_it_was_issued() {
    assert_eq!(verify(&issue()).expect("good").authenticated, Millis(0), "it does not say");
    let token = key(1).issue_authenticated(&Scope::default(), &grant(), Millis(WALL.0 - 60_000));
    let at = verify(token.reveal()).expect("good").authenticated;
    assert_eq!(at, Millis((WALL.0 - 60_000) / 1_000 * 1_000));
    for (to, told) in [
        (r#""auth_time":1795456131,"iat""#, Ok(Millis(1_795_456_131_000))),
        (r#""auth_time":1795456132,"iat""#, Err(TokenError::Claims)),
        (r#""auth_time":-1,"iat""#, Err(TokenError::Malformed)),
        (r#""auth_time":"1795456131","iat""#, Err(TokenError::Malformed)),
    ] {
        assert_eq!(verify(&with_claim(r#""iat""#, to)).map(|claims| claims.authenticated), told, "{to}");
    }
}

#[test]
fn the_key_is_chosen_by_name_among_the_accepted_ones() {
    let token = key(2).issue(&Scope::default(), &grant());
    let both = set(&[&key(1), &key(2)]);
    assert!(both.verify(token.reveal(), WALL).is_ok());
    assert_eq!(verify(token.reveal()), Err(TokenError::UnknownKey));
    // Signed by one accepted key under the name of the other.
    let crossed = sign(&key(2), &header(&key(1)), PAYLOAD);
    assert_eq!(both.verify(&crossed, WALL), Err(TokenError::BadSignature));
}

#[test]
fn no_header_talks_the_verifier_into_another_algorithm_or_key() {
    let kid = key(1).public().kid().to_owned();
    let headers = [
        format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"None","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"eddsa","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#),
        r#"{"alg":"EdDSA","typ":"at+jwt"}"#.to_owned(),
        format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}","crit":["exp"]}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}","jku":"https://example.org/keys"}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}","x5u":"https://example.org/cert"}}"#),
        format!(
            r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}","jwk":{{"kty":"OKP","crv":"Ed25519","x":"AA"}}}}"#
        ),
        format!(r#"{{"alg":"EdDSA","alg":"none","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":["{kid}"]}}"#),
        format!(r#"["EdDSA","at+jwt","{kid}"]"#),
        "[]".to_owned(),
        String::new(),
    ];
    for bad in headers {
        assert_eq!(verify(&sign(&key(1), &bad, PAYLOAD)), Err(TokenError::Malformed), "{bad}");
    }
}

#[test]
fn an_hmac_with_the_public_key_is_no_signature() {
    let public = key(1).public();
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_bytes());
    for alg in ["HS256", "EdDSA"] {
        let head = format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{}"}}"#, public.kid());
        let signed = format!("{}.{}", encode(&head), encode(PAYLOAD));
        let tag = ring::hmac::sign(&secret, signed.as_bytes());
        let doubled = [tag.as_ref(), tag.as_ref()].concat();
        let short = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
        let long = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(doubled));
        assert_eq!(verify(&short), Err(TokenError::Malformed));
        assert!(matches!(verify(&long), Err(TokenError::Malformed | TokenError::BadSignature)));
    }
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"none","typ":"at+jwt","kid":""}"#), encode(PAYLOAD));
    assert_eq!(verify(&unsigned), Err(TokenError::Malformed));
}

#[test]
fn no_prefix_and_no_changed_byte_of_a_token_verifies() {
    let token = issue();
    for cut in 0..token.len() {
        assert!(verify(&token[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..token.len() {
        for byte in [b'A', b'z', b'.', b'=', b' '] {
            let mut bytes = token.clone().into_bytes();
            if bytes[at] != byte {
                bytes[at] = byte;
                let changed = String::from_utf8(bytes).expect("ASCII");
                assert!(verify(&changed).is_err(), "byte {at}");
            }
        }
    }
}

#[test]
fn encodings_of_the_same_bytes_are_refused() {
    let token = issue();
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    // 64 bytes leave four unused bits in the last character: another one decodes alike in a lax decoder.
    let last = signature.chars().last().expect("not empty");
    let sibling = char::from_u32(last as u32 + 1).expect("ASCII");
    let stray = format!("{signed}.{}{sibling}", &signature[..signature.len() - 1]);
    for bad in [
        format!("{token}=="),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!("{token}x"),
        format!("{token}\n"),
        format!(" {token}"),
        format!(".{token}"),
        stray,
        token.replace('-', "+").replace('_', "/") + "=",
    ] {
        assert!(verify(&bad).is_err(), "{bad}");
    }
    let trailing = sign(&key(1), &header(&key(1)), &format!("{PAYLOAD}{{}}"));
    assert_eq!(verify(&trailing), Err(TokenError::Malformed));
}

#[test]
fn an_oversized_token_is_not_even_parsed() {
    let padding = format!(r#""pad":"{}","iss""#, "x".repeat(TOKEN_BYTES_MAX));
    assert_eq!(verify(&with_claim(r#""iss""#, &padding)), Err(TokenError::Malformed));
    let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, "k".repeat(1_000));
    assert_eq!(verify(&sign(&key(1), &header, PAYLOAD)), Err(TokenError::Malformed));
    for text in [".".repeat(TOKEN_BYTES_MAX), "..".to_owned(), String::new(), "é.é.é".to_owned()] {
        assert_eq!(verify(&text), Err(TokenError::Malformed));
    }
    // A token just under the limit is accepted: the buffers hold it.
    let fits = format!(r#""pad":"{}","iss""#, "x".repeat(2_600));
    let token = with_claim(r#""iss""#, &fits);
    assert!(token.len() <= TOKEN_BYTES_MAX && verify(&token).is_ok());
}

#[test]
fn times_bound_the_token_with_leeway_only_at_its_start() {
    let keys = set(&[&key(1)]);
    let token = issue();
    let start = WALL.0 / 1_000 * 1_000;
    let end = start + 900_000;
    let at = |wall| keys.verify(&token, Millis(wall)).map(|_| ());
    assert_eq!(at(start - NOT_BEFORE_LEEWAY_MILLIS - 1), Err(TokenError::NotYet));
    assert_eq!(at(start - NOT_BEFORE_LEEWAY_MILLIS), Ok(()));
    assert_eq!(at(end - 1), Ok(()));
    assert_eq!(at(end), Err(TokenError::Expired));
    assert_eq!(at(u64::MAX), Err(TokenError::Expired));
    assert_eq!(at(0), Err(TokenError::NotYet));
}

#[test]
fn claims_of_another_scope_or_without_sense_are_refused() {
    for (from, to) in [
        (r#""iss":"lynk""#, r#""iss":"lynk2""#),
        (r#""iss":"lynk""#, r#""iss":"""#),
        (r#""aud":"lynk""#, r#""aud":"other""#),
        ("01010101-0101-0101-0101-010101010101", "alice"),
        ("01010101-0101-0101-0101-010101010101", "00000000-0000-0000-0000-000000000000"),
        ("02020202-0202-0202-0202-020202020202", ""),
        ("02020202-0202-0202-0202-020202020202", "00000000-0000-0000-0000-000000000000"),
        ("02020202-0202-0202-0202-020202020202", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        (r#""jti":"AwMD""#, r#""jti":"""#),
        (r#""exp":1795457031"#, r#""exp":18446744073709551615"#),
        (r#""nbf":1795456131"#, r#""nbf":1795457031"#),
        (r#""iat":1795456131"#, r#""iat":1795457032"#),
    ] {
        assert_eq!(verify(&with_claim(from, to)), Err(TokenError::Claims), "{to}");
    }
}

#[test]
fn a_token_for_longer_than_any_is_issued_is_refused_whatever_it_says_of_its_start() {
    let start = WALL.0 / 1_000;
    let token = |iat: u64, exp: u64| {
        let payload = PAYLOAD
            .replace(r#""iat":1795456131"#, &format!(r#""iat":{iat}"#))
            .replace(r#""exp":1795457031"#, &format!(r#""exp":{exp}"#));
        verify(&sign(&key(1), &header(&key(1)), &payload)).map(|claims| claims.expires)
    };
    assert_eq!(token(start, start + 86_400), Ok(Millis((start + 86_400) * 1_000)));
    assert_eq!(token(start, start + 86_401), Err(TokenError::Claims));
    assert_eq!(token(0, start + 60), Err(TokenError::Claims));
    assert_eq!(token(start + 61, start + 61 + 86_400), Err(TokenError::NotYet), "issued in the future");
}

#[test]
fn claims_of_the_wrong_shape_are_refused() {
    for (from, to) in [
        (r#""aud":"lynk""#, r#""aud":["lynk"]"#),
        (r#""iss":"lynk","#, ""),
        (r#""sid""#, r#""sit""#),
        (r#""exp":1795457031"#, r#""exp":"1795457031""#),
        (r#""exp":1795457031"#, r#""exp":1795457031.5"#),
        (r#""exp":1795457031"#, r#""exp":-1"#),
        (r#""exp":1795457031"#, r#""exp":1795457031,"exp":1795457032"#),
        (r#""sub":"#, r#""sub":"01010101-0101-0101-0101-010101010102","sub":"#),
        (r#""iat""#, r#""epoch":-1,"iat""#),
        (r#""iat""#, r#""epoch":4294967296,"iat""#),
        ("{", "[{"),
    ] {
        assert_eq!(verify(&with_claim(from, to)), Err(TokenError::Malformed), "{to}");
    }
}

#[test]
fn a_claim_that_nobody_asks_for_is_skipped_however_deep_it_nests() {
    let deep = format!(r#""x":{}{},"iss""#, "[".repeat(1_000), "]".repeat(1_000));
    assert!(verify(&with_claim(r#""iss""#, &deep)).is_ok());
}

#[test]
fn escapes_in_a_claim_mean_the_same_text() {
    assert!(verify(&with_claim(r#""iss":"lynk""#, r#""iss":"\u006cynk""#)).is_ok());
}

#[test]
fn a_key_that_is_no_point_of_the_curve_accepts_nothing() {
    let bogus = KeySet::new(Scope::default(), [PublicKey::new([0xff; 32])]).expect("a set");
    let head = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, bogus.keys()[0].kid());
    assert_eq!(bogus.verify(&sign(&key(1), &head, PAYLOAD), WALL), Err(TokenError::BadSignature));
}

#[test]
fn a_token_does_not_print() {
    let token = key(1).issue(&Scope::default(), &grant());
    assert_eq!(format!("{token:?}"), "Token(redacted)");
}

#[test]
fn a_token_says_that_its_user_has_to_enrol_and_no_other_does() {
    let (scope, at) = (Scope::default(), WALL);
    let enrolling = key(1).issue_enrolling(&scope, &grant(), at);
    let claims = verify(enrolling.reveal()).expect("a good token");
    assert!(claims.enrolling);
    assert_eq!(claims.authenticated.0, WALL.0 / 1_000 * 1_000);
    for other in [key(1).issue_authenticated(&scope, &grant(), at), key(1).issue(&scope, &grant())] {
        assert!(!verify(other.reveal()).expect("a good token").enrolling);
    }
    let says = |value: &str| with_claim(r#""jti""#, &format!(r#""enrol":{value},"jti""#));
    assert!(verify(&says("true")).expect("a good token").enrolling);
    assert!(!verify(&says("false")).expect("a good token").enrolling);
    for sly in ["0", "null", r#""false""#, "[]"] {
        assert_eq!(verify(&says(sly)), Err(TokenError::Malformed), "{sly}");
    }
}
