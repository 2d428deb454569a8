use super::*;

const START: Millis = Millis(1_795_456_131_000);
const SESSION: SessionId = SessionId([2; 16]);

fn server() -> ServerSecret {
    ServerSecret::new([1; 32])
}

fn policy() -> SessionPolicy {
    SessionPolicy::default()
}

fn later(millis: u64) -> Millis {
    Millis(START.0 + millis)
}

fn begin() -> (Family, RefreshToken) {
    let first = RefreshToken::first(SESSION, [3; 32]);
    (new_family(&first, &server(), START, &policy()), first)
}

fn step(family: &Family, token: &RefreshToken, wall: Millis) -> Refresh {
    refresh(family, token, &server(), wall, &policy())
}

/// Rotates, which must be possible.
fn rotate(family: &mut Family, token: &RefreshToken, wall: Millis) -> RefreshToken {
    match step(family, token, wall) {
        Refresh::Rotate { next, family: turned } => {
            *family = turned;
            next
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_comes_back_from_its_text_and_from_no_other() {
    let (_, token) = begin();
    let text = token.reveal(&server()).reveal().to_owned();
    assert!(text.starts_with("lr1_"));
    assert_eq!(RefreshToken::parse(&text, &server()), Some(token));
    assert_eq!(RefreshToken::parse(&text, &ServerSecret::new([9; 32])), None, "of another server");
    for at in 0..text.len() {
        for byte in *b"A_z" {
            let mut changed = text.clone().into_bytes();
            if changed[at] != byte {
                changed[at] = byte;
                let changed = String::from_utf8(changed).expect("ASCII");
                assert_eq!(RefreshToken::parse(&changed, &server()), None, "byte {at}");
            }
        }
        assert_eq!(RefreshToken::parse(&text[..at], &server()), None);
    }
}

#[test]
fn the_newest_token_rotates_and_each_next_one_does() {
    let (mut family, mut token) = begin();
    for turn in 1..=40u32 {
        let wall = later(u64::from(turn) * 900_000);
        token = rotate(&mut family, &token, wall);
        assert_eq!(family.generation, turn);
        assert_eq!(family.idle_expires.0, wall.0 + policy().idle_millis);
        assert_eq!(family.expires.0, START.0 + policy().life_millis);
        assert!(family.rotations.len() <= ROTATIONS_KEPT);
    }
}

#[test]
fn a_retry_inside_the_grace_gets_the_same_successor_and_never_a_second_branch() {
    let (mut family, first) = begin();
    let second = rotate(&mut family, &first, START);
    let before = family.clone();
    for wall in [START, later(1), later(30_000)] {
        assert_eq!(step(&family, &first, wall), Refresh::Repeat { next: second.clone() });
    }
    assert_eq!(family, before, "a repeat changes nothing");
    // The successor was used meanwhile: the retry still gets what it would have got.
    let third = rotate(&mut family, &second, later(5_000));
    assert_eq!(step(&family, &first, later(10_000)), Refresh::Repeat { next: second.clone() });
    assert_eq!(step(&family, &second, later(10_000)), Refresh::Repeat { next: third });
}

#[test]
fn a_token_used_before_the_grace_is_theft_however_old_it_is() {
    let (mut family, first) = begin();
    let mut tokens = vec![first];
    for turn in 0..20u64 {
        let next = rotate(&mut family, tokens.last().expect("one"), later(turn * 60_000));
        tokens.push(next);
    }
    let wall = later(19 * 60_000 + 30_001);
    for old in &tokens[..20] {
        assert_eq!(step(&family, old, wall), Refresh::Reuse, "{old:?}");
    }
    assert!(matches!(step(&family, &tokens[20], wall), Refresh::Rotate { .. }));
}

#[test]
fn a_made_up_token_of_the_right_generation_is_a_second_branch() {
    let (mut family, first) = begin();
    let forged = RefreshToken::first(SESSION, [4; 32]);
    assert_eq!(step(&family, &forged, START), Refresh::Reuse);
    rotate(&mut family, &first, START);
    assert_eq!(step(&family, &forged, START), Refresh::Reuse, "also inside the grace");
}

#[test]
fn a_store_older_than_the_token_does_not_know_it() {
    let (family, first) = begin();
    let mut newer = family.clone();
    let second = rotate(&mut newer, &first, START);
    assert_eq!(step(&family, &second, START), Refresh::Unknown);
}

#[test]
fn a_family_ends_when_it_is_idle_and_when_it_is_old() {
    let (mut family, mut token) = begin();
    let policy = policy();
    assert_eq!(step(&family, &token, later(policy.idle_millis)), Refresh::Expired);
    let mut wall = 0;
    while wall + policy.idle_millis / 2 < policy.life_millis {
        wall += policy.idle_millis / 2;
        if wall < policy.life_millis {
            token = rotate(&mut family, &token, later(wall));
        }
    }
    assert_eq!(step(&family, &token, later(policy.life_millis)), Refresh::Expired);
    assert_eq!(family.ends(), later(policy.life_millis));
}

#[test]
fn a_clock_that_jumps_back_lengthens_no_grace() {
    let (mut family, first) = begin();
    let second = rotate(&mut family, &first, later(3_600_000));
    assert_eq!(step(&family, &first, later(0)), Refresh::Reuse, "an hour back is an hour away");
    assert_eq!(step(&family, &first, later(3_600_000 - 30_000)), Refresh::Repeat { next: second.clone() });
    assert!(
        matches!(step(&family, &second, later(0)), Refresh::Rotate { .. }),
        "the newest one is good at any time"
    );
}

#[test]
fn a_family_turns_eight_times_in_a_grace_and_then_waits() {
    let (mut family, mut token) = begin();
    for turn in 0..8 {
        token = rotate(&mut family, &token, later(turn * 1_000));
    }
    assert_eq!(step(&family, &token, later(8_000)), Refresh::TooFast { retry_after_millis: 22_001 });
    assert!(matches!(step(&family, &token, later(30_001)), Refresh::Rotate { .. }));
}

#[test]
fn a_successor_needs_the_servers_secret() {
    let (family, first) = begin();
    let thief = ServerSecret::new([9; 32]);
    let Refresh::Rotate { next, .. } = step(&family, &first, START) else { panic!("rotates") };
    assert_ne!(first.successor(&thief), next);
    assert_eq!(first.successor(&server()), next);
    assert_ne!(first.hash(&server()), first.hash(&thief));
    let printed = format!("{first:?} {family:?}");
    assert!(printed.contains("redacted") && !printed.contains("3, 3, 3"), "{printed}");
}
