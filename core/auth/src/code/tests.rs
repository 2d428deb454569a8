use super::*;

const MILLI: u64 = Nanos::MILLISECOND;
const MINUTE: u64 = 60_000 * MILLI;

fn server() -> ServerSecret {
    ServerSecret::new([1; 32])
}

fn phone(n: u32) -> Phone {
    Phone::from_e164(&format!("+4915{n:08}")).expect("a number")
}

fn request(n: u8) -> CodeRequest {
    CodeRequest([n; 16])
}

fn make(codes: &mut Codes, at: u64, number: u32, n: u8) -> Code {
    codes.make(Nanos(at), &server(), &phone(number), request(n), [n; 16], &CodePolicy::default())
}

fn prove(codes: &mut Codes, at: u64, n: u8, code: &Code) -> Result<Phone, WrongCode> {
    codes.prove(Nanos(at), &server(), request(n), code)
}

/// A code that is not `code`.
fn other(code: &Code) -> Code {
    let mut digits = code.0;
    digits[5] = b'0' + (digits[5] - b'0' + 1) % 10;
    Code(digits)
}

#[test]
fn codes_are_six_digits_spread_evenly_and_read_strictly() {
    assert_eq!(Code::new([0; 16]).reveal(), "000000");
    assert_eq!(Code::new(1_234_567u128.to_be_bytes()).reveal(), "234567");
    assert_eq!(Code::new([0xff; 16]).reveal(), format!("{:06}", u128::MAX % 1_000_000));
    assert_eq!(Code::parse("012345").expect("digits").reveal(), "012345");
    for bad in ["", "12345", "1234567", "12345a", " 12345", "-12345", "１２３４５６", "١٢٣"] {
        assert_eq!(Code::parse(bad), None, "{bad}");
    }
    assert_eq!(format!("{:?}", Code::new([7; 16])), "Code(redacted)");
}

#[test]
fn a_code_proves_its_number_once() {
    let mut codes = Codes::default();
    let code = make(&mut codes, 0, 1, 1);
    assert_eq!(prove(&mut codes, 5, 1, &code), Ok(phone(1)));
    assert_eq!(prove(&mut codes, 6, 1, &code), Err(WrongCode), "replayed");
    codes.restore(request(1));
    assert_eq!(prove(&mut codes, 7, 1, &code), Ok(phone(1)), "what it was for did not happen");
}

#[test]
fn a_code_is_good_for_its_request_only() {
    let mut codes = Codes::default();
    let (first, second) = (make(&mut codes, 0, 1, 1), make(&mut codes, 0, 2, 2));
    assert_ne!(first, second);
    assert_eq!(prove(&mut codes, 1, 2, &first), Err(WrongCode));
    assert_eq!(prove(&mut codes, 1, 3, &first), Err(WrongCode));
    assert_eq!(prove(&mut codes, 1, 2, &second), Ok(phone(2)));
}

#[test]
fn five_wrong_tries_end_a_code() {
    let mut codes = Codes::default();
    let code = make(&mut codes, 0, 1, 1);
    for _ in 0..4 {
        assert_eq!(prove(&mut codes, 1, 1, &other(&code)), Err(WrongCode));
    }
    assert_eq!(prove(&mut codes, 1, 1, &code), Ok(phone(1)), "the fifth try may be right");
    let code = make(&mut codes, MINUTE, 2, 2);
    for _ in 0..5 {
        assert_eq!(prove(&mut codes, MINUTE, 2, &other(&code)), Err(WrongCode));
    }
    assert_eq!(prove(&mut codes, MINUTE, 2, &code), Err(WrongCode), "the sixth may not");
}

#[test]
fn a_code_lives_five_minutes_and_a_new_one_ends_it() {
    let mut codes = Codes::default();
    let code = make(&mut codes, 0, 1, 1);
    assert_eq!(prove(&mut codes, 5 * MINUTE, 1, &code), Err(WrongCode));
    let old = make(&mut codes, 0, 2, 2);
    let new = make(&mut codes, MINUTE, 2, 3);
    assert_eq!(prove(&mut codes, MINUTE, 2, &old), Err(WrongCode));
    assert_eq!(prove(&mut codes, 6 * MINUTE - 1, 3, &new), Ok(phone(2)));
    let cancelled = make(&mut codes, 9 * MINUTE, 3, 4);
    codes.cancel(request(4));
    assert_eq!(prove(&mut codes, 9 * MINUTE, 4, &cancelled), Err(WrongCode));
}

#[test]
fn a_number_waits_a_minute_between_codes_also_after_it_used_one() {
    let mut codes = Codes::default();
    let policy = CodePolicy::default();
    let code = make(&mut codes, 0, 1, 1);
    assert_eq!(prove(&mut codes, 1, 1, &code), Ok(phone(1)));
    assert_eq!(
        codes.may_send(Nanos(30_000 * MILLI), &phone(1), &policy),
        Err(NoCode::TooSoon { retry_after_millis: 30_000 })
    );
    assert_eq!(codes.may_send(Nanos(MINUTE), &phone(1), &policy), Ok(()));
    assert_eq!(codes.may_send(Nanos(0), &phone(2), &policy), Ok(()));
}

#[test]
fn what_waits_is_bounded_and_forgotten() {
    let mut codes = Codes::default();
    let policy = CodePolicy::default();
    for n in 0..CODES_MAX as u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        codes.make(Nanos(0), &server(), &phone(n), CodeRequest(id), [1; 16], &policy);
    }
    assert_eq!(codes.may_send(Nanos(1), &phone(CODES_MAX as u32), &policy), Err(NoCode::Full));
    assert_eq!(codes.may_send(Nanos(5 * MINUTE), &phone(0), &policy), Ok(()));
    assert!(codes.waiting.is_empty() && codes.by_phone.is_empty() && codes.forget.is_empty());
}

#[test]
fn every_check_costs_the_same_work_whatever_it_finds() {
    let mut codes = Codes::default();
    let code = make(&mut codes, 0, 1, 1);
    let mut cost = |n: u8, code: &Code| {
        let before = codes.hashes();
        let _ = codes.prove(Nanos(1), &server(), request(n), code);
        codes.hashes() - before
    };
    assert_eq!([cost(9, &code), cost(1, &other(&code)), cost(1, &code), cost(1, &code)], [1; 4]);
    let before = codes.hashes();
    codes.pretend(Nanos(1), &server(), &phone(5), request(5), [5; 16], &CodePolicy::default());
    assert_eq!(codes.hashes() - before, 1, "as much as making one");
}

#[test]
fn a_number_that_gets_no_code_waits_like_one_that_does_and_keeps_the_code_it_had() {
    let (mut codes, policy) = (Codes::default(), CodePolicy::default());
    let pretend = |codes: &mut Codes, at: u64, n: u8| {
        codes.pretend(Nanos(at), &server(), &phone(1), request(n), [n; 16], &policy);
    };
    let sent = make(&mut codes, 0, 1, 1);
    pretend(&mut codes, MINUTE, 2);
    for (at, wait) in [(MINUTE, 60_000), (MINUTE + 59_000 * MILLI, 1_000)] {
        let told = codes.may_send(Nanos(at), &phone(1), &policy);
        assert_eq!(told, Err(NoCode::TooSoon { retry_after_millis: wait }));
    }
    assert_eq!(codes.may_send(Nanos(2 * MINUTE), &phone(1), &policy), Ok(()));
    assert_eq!(
        prove(&mut codes, 2 * MINUTE, 2, &Code::new([2; 16])),
        Err(WrongCode),
        "no code, not even that"
    );
    assert_eq!(prove(&mut codes, 2 * MINUTE, 1, &sent), Ok(phone(1)));
    // The next code ends the one before, however many got none in between.
    codes.restore(request(1));
    let next = make(&mut codes, 2 * MINUTE, 1, 3);
    assert_eq!(prove(&mut codes, 2 * MINUTE, 1, &sent), Err(WrongCode));
    assert_eq!(prove(&mut codes, 2 * MINUTE, 3, &next), Ok(phone(1)));
    pretend(&mut codes, 8 * MINUTE, 4);
    codes.may_send(Nanos(9 * MINUTE), &phone(1), &policy).expect("the time is over");
    assert!(codes.waiting.is_empty() && codes.by_phone.is_empty() && codes.forget.is_empty());
}
