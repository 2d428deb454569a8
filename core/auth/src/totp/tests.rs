use super::*;

/// A secret of RFC 6238, appendix B: the ASCII digits, as many as the hash has bytes.
fn seed(bytes: usize) -> Vec<u8> {
    b"1234567890".iter().copied().cycle().take(bytes).collect()
}

#[test]
fn all_eighteen_vectors_of_rfc_6238_match() {
    let vectors: [(u64, [u32; 3]); 6] = [
        (59, [94_287_082, 46_119_246, 90_693_936]),
        (1_111_111_109, [7_081_804, 68_084_774, 25_091_201]),
        (1_111_111_111, [14_050_471, 67_062_674, 99_943_326]),
        (1_234_567_890, [89_005_924, 91_819_424, 93_441_116]),
        (2_000_000_000, [69_279_037, 90_698_825, 38_618_901]),
        (20_000_000_000, [65_353_130, 77_737_706, 47_863_826]),
    ];
    let hashes = [(TotpHash::Sha1, 20), (TotpHash::Sha256, 32), (TotpHash::Sha512, 64)];
    let mut compared = 0;
    for (seconds, codes) in vectors {
        for ((hash, bytes), expected) in hashes.into_iter().zip(codes) {
            let step = seconds * 1_000 / TOTP_STEP_MILLIS;
            assert_eq!(hotp(hash, &seed(bytes), step, 8), expected, "{hash:?} at {seconds}");
            compared += 1;
        }
    }
    assert_eq!(compared, 18);
}

#[test]
fn the_ten_vectors_of_rfc_4226_match() {
    let expected = [755_224, 287_082, 359_152, 969_429, 338_314, 254_676, 287_922, 162_583, 399_871, 520_489];
    for (counter, expected) in expected.into_iter().enumerate() {
        assert_eq!(hotp(TotpHash::Sha1, &seed(20), counter as u64, 6), expected, "{counter}");
    }
}

fn secret() -> TotpSecret {
    TotpSecret::new(seed(20).try_into().expect("20 bytes"))
}

fn at(step: u64) -> Millis {
    Millis(step * TOTP_STEP_MILLIS + 7_000)
}

#[test]
fn a_code_is_good_in_its_step_and_beside_it_and_never_again() {
    let secret = secret();
    let step = 1_795_456_131_000 / TOTP_STEP_MILLIS;
    let code = secret.code(step);
    let moments = [(step - 2, false), (step - 1, true), (step, true), (step + 1, true), (step + 2, false)];
    for (now, good) in moments {
        assert_eq!(secret.accept(&code, at(now), 0), good.then_some(step), "{now}");
    }
    assert_eq!(secret.accept(&code, at(step), step - 1), Some(step));
    assert_eq!(secret.accept(&code, at(step), step), None, "used");
    assert_eq!(secret.accept(&code, at(step + 1), step + 1), None, "from before one that was used");
    assert_eq!(
        secret.accept(&secret.code(step + 1), at(step), step),
        Some(step + 1),
        "a clock that is ahead"
    );
    // The first and the last moments of a step, and of time.
    assert_eq!(secret.accept(&code, Millis(step * TOTP_STEP_MILLIS), 0), Some(step));
    assert_eq!(secret.accept(&code, Millis((step + 2) * TOTP_STEP_MILLIS - 1), 0), Some(step));
    assert_eq!(secret.accept(&code, Millis((step + 2) * TOTP_STEP_MILLIS), 0), None);
    assert_eq!(secret.accept(&code, Millis(0), 0), None);
    assert_eq!(secret.accept(&code, Millis(u64::MAX), 0), None);
}

/// The codes of the good steps are accepted, and of a thousand others none.
#[test]
fn at_any_moment_three_codes_of_a_million_are_good() {
    let secret = secret();
    let step = 60_000_000;
    let expected: std::collections::BTreeSet<_> =
        (step - 1..=step + 1).map(|step| secret.code(step).reveal().to_owned()).collect();
    let good: std::collections::BTreeSet<_> = (0..1_000_000_u128)
        .map(|number| Code::new(number.to_be_bytes()))
        .filter(|code| expected.contains(code.reveal()) || code.reveal().ends_with("000"))
        .filter(|code| secret.accept(code, at(step), 0).is_some())
        .map(|code| code.reveal().to_owned())
        .collect();
    assert_eq!(good, expected);
    assert!(good.len() <= TOTP_CODES_GOOD as usize);
}

#[test]
fn a_uri_is_read_by_apps_whatever_the_names_are() {
    let uri = secret().uri("Lynk", "alice");
    assert_eq!(
        uri,
        "otpauth://totp/Lynk:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Lynk&algorithm=SHA1&digits=6&period=30"
    );
    let odd = secret().uri("https://chat.example/ä b", "Straße.7_-~&?=%");
    assert!(odd.starts_with(
        "otpauth://totp/https%20%2F%2Fchat.example%2F%C3%A4%20b:Stra%C3%9Fe.7_-~%26%3F%3D%25?secret="
    ));
    assert!(odd.contains("&issuer=https%20%2F%2Fchat.example%2F%C3%A4%20b&"));
    assert_eq!(odd.matches(':').count(), 2, "after the scheme, and between issuer and account");
    assert!(odd.is_ascii());
}

#[test]
fn a_secret_does_not_print() {
    assert_eq!(format!("{:?}", secret()), "TotpSecret(redacted)");
    assert_eq!(secret().base32().len(), 32);
}
