//! The account port's suite.

use lynk_domain::{Family, Millis, Phone, ROTATIONS_KEPT, Revocation, SecretHash, SessionId, UserId};

use super::pages;
use crate::account::{
    Account, AccountChange, AuditKind, Changed, Charge, Charged, ENDED_SESSION_KEPT_MILLIS, Findable,
    NewSession, Registered, SEARCH_WORDS_MAX, Session, Which,
};
use crate::port::{AccountStore, ErasureStore, ready};
use crate::{NAME_RESERVED_MILLIS, fold_name};

const START: u64 = 1_795_456_131_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
pub(super) const ALICE: UserId = UserId([1; 16]);
pub(super) const BOB: UserId = UserId([2; 16]);
pub(super) const CAROL: UserId = UserId([3; 16]);

pub(super) fn at(millis: u64) -> Millis {
    Millis(START + millis)
}

fn phone(n: u8) -> Phone {
    Phone::from_e164(&format!("+4915112345{n:03}")).expect("a number")
}

pub(super) fn id(n: u8) -> SessionId {
    SessionId([n; 16])
}

fn account(user: UserId, name: &str, wall: u64) -> Account {
    Account::new(user, phone(user.0[0]), name.to_owned(), format!("{name} of Lynk"), at(wall))
}

fn family(n: u8, wall: u64) -> Family {
    Family {
        generation: 0,
        hash: SecretHash([n; 32]),
        rotations: Vec::new(),
        idle_expires: at(wall + 30 * DAY),
        expires: at(wall + 180 * DAY),
    }
}

fn new_session(n: u8, wall: u64) -> NewSession {
    NewSession {
        session: id(n),
        device: format!("device {n}"),
        created: at(wall),
        family: family(n, wall),
        sessions_max: 30,
    }
}

pub(super) fn register<S: AccountStore>(store: &mut S, user: UserId, name: &str, wall: u64) -> Registered {
    let session = new_session(user.0[0] + 100, wall);
    ready(store.register(&account(user, name, wall), &session)).expect("takes it")
}

fn open<S: AccountStore>(store: &mut S, user: UserId, session: &NewSession) -> Vec<SessionId> {
    let ended = ready(store.open_session(user, session)).expect("opens");
    ended.iter().map(|one| one.session).collect()
}

fn listed<S: AccountStore>(store: &S, user: UserId, wall: u64) -> Vec<SessionId> {
    let sessions = ready(store.sessions(user, at(wall))).expect("readable");
    sessions.iter().map(|one| one.session).collect()
}

fn session<S: AccountStore>(store: &S, n: u8) -> Option<Session> {
    ready(store.session(id(n))).expect("readable")
}

fn charge<S: AccountStore>(store: &mut S, charges: &[Charge], wall: u64) -> Charged {
    ready(store.charge(charges, at(wall))).expect("counts")
}

/// An account is found by its number, its name in any spelling, and its id.
pub fn an_account_is_found_by_what_is_unique<S: AccountStore>(store: &mut S) {
    assert_eq!(ready(store.account_of_phone(&phone(1))), Ok(None));
    assert_eq!(register(store, ALICE, "Straße", 0), Registered::Made);
    let alice = account(ALICE, "Straße", 0);
    assert_eq!(ready(store.account_of_phone(&phone(1))), Ok(Some(alice.clone())));
    assert_eq!(ready(store.account_of_phone(&phone(2))), Ok(None));
    assert_eq!(ready(store.account_of_name(&fold_name("STRASSE"))), Ok(Some(alice.clone())));
    assert_eq!(ready(store.account_of_name("Straße")), Ok(None), "not folded");
    assert_eq!(register(store, BOB, "bob", 0), Registered::Made);
    let bob = account(BOB, "bob", 0);
    assert_eq!(ready(store.accounts(&[BOB, UserId([9; 16]), ALICE])), Ok(vec![bob, alice]));
    assert_eq!(listed(store, ALICE, 0), [id(101)], "with its first session");
}

/// A name and a number belong to one account; a refused registration leaves nothing behind.
pub fn names_and_numbers_belong_to_one<S: AccountStore>(store: &mut S) {
    assert_eq!(register(store, ALICE, "alice", 0), Registered::Made);
    assert_eq!(register(store, BOB, "ＡLICE", 1), Registered::NameTaken);
    assert_eq!(ready(store.account_of_phone(&phone(2))), Ok(None));
    assert_eq!(session(store, 102), None);
    let twin = Account { user: BOB, ..account(ALICE, "bob", 1) };
    assert_eq!(ready(store.register(&twin, &new_session(102, 1))), Ok(Registered::PhoneTaken));
    assert_eq!(ready(store.account_of_name("bob")), Ok(None));
    assert_eq!(register(store, BOB, "bob", 2), Registered::Made);
}

/// A removed account frees its number at once and its name after 30 days; its sessions end.
pub fn a_removed_accounts_name_stays_closed_for_thirty_days<S: AccountStore>(store: &mut S) {
    assert_eq!(register(store, ALICE, "alice", 0), Registered::Made);
    assert_eq!(ready(store.remove(BOB, at(1))), Ok(Vec::new()));
    let ended = ready(store.remove(ALICE, at(1))).expect("removes");
    assert_eq!(ended, [Revocation { user: ALICE, session: id(101), epoch: 2 }]);
    assert_eq!(ready(store.account_of_name("alice")), Ok(None));
    assert_eq!(ready(store.accounts(&[ALICE])), Ok(Vec::new()));
    assert_eq!(session(store, 101), None);
    assert_eq!(ready(store.revoked_since(at(0))).expect("readable"), [(at(1), ended[0])]);
    let (closed, free) = (NAME_RESERVED_MILLIS, 1 + NAME_RESERVED_MILLIS);
    assert_eq!(register(store, BOB, "ALICE", closed), Registered::NameTaken);
    let taken = |store: &S, name: &str, wall| ready(store.name_is_taken(name, at(wall)));
    assert_eq!((taken(store, "alice", closed), taken(store, "alice", free)), (Ok(true), Ok(false)));
    assert_eq!(taken(store, "other", 2), Ok(false));
    let again = Account { user: UserId([3; 16]), ..account(ALICE, "other", 2) };
    assert_eq!(
        ready(store.register(&again, &new_session(103, 2))),
        Ok(Registered::Made),
        "the number is free"
    );
    assert_eq!(register(store, BOB, "ALICE", free), Registered::Made);
    assert_eq!((taken(store, "alice", free), taken(store, "other", free)), (Ok(true), Ok(true)));
    let mut names = pages(|after| ready(store.names(after, 1)).expect("readable"));
    names.sort_unstable();
    assert_eq!(names, ["alice", "other"]);
    let kinds: Vec<_> = ready(store.audit(ALICE, 10)).expect("readable").iter().map(|e| e.kind).collect();
    assert_eq!(
        kinds,
        [AuditKind::Removed, AuditKind::Removed, AuditKind::SignedIn, AuditKind::Registered],
        "newest first, the session's end before the account's"
    );
}

fn change<S: AccountStore>(store: &mut S, user: UserId, change: AccountChange, wall: u64) -> Changed {
    ready(store.change(user, &change, at(wall))).expect("takes it")
}

fn renamed(name: &str) -> AccountChange {
    AccountChange { user_name: Some(name.to_owned()), ..AccountChange::default() }
}

/// What is given changes, all of it or nothing; a change that nobody sees is no new version.
pub fn a_profile_changes_as_a_whole<S: AccountStore>(store: &mut S) {
    assert_eq!(register(store, ALICE, "alice", 0), Registered::Made);
    assert_eq!(register(store, BOB, "bob", 0), Registered::Made);
    let all = AccountChange {
        user_name: Some("Ada".to_owned()),
        display_name: Some("Ada 👩‍💻".to_owned()),
        bio: Some("two\nlines".to_owned()),
        avatar: Some(Some([7; 16])),
        findable: None,
    };
    let expected = Account {
        user_name: "Ada".to_owned(),
        display_name: "Ada 👩‍💻".to_owned(),
        bio: "two\nlines".to_owned(),
        avatar: Some([7; 16]),
        updated: at(5),
        ..account(ALICE, "alice", 0)
    };
    assert_eq!(change(store, ALICE, all.clone(), 5), Changed::Done(Box::new(expected.clone())));
    assert_eq!(ready(store.accounts(&[ALICE])), Ok(vec![expected.clone()]));
    assert_eq!(ready(store.account_of_name("ada")), Ok(Some(expected.clone())));
    assert_eq!(ready(store.account_of_phone(&phone(1))), Ok(Some(expected.clone())));
    assert_eq!(change(store, ALICE, all, 9), Changed::Done(Box::new(expected.clone())), "nothing new");
    let taken = AccountChange { bio: Some("lost".to_owned()), ..renamed("BOB") };
    assert_eq!(change(store, ALICE, taken, 9), Changed::NameTaken);
    let hidden = Findable { by_name: false, by_phone: true };
    let unseen = AccountChange { findable: Some(hidden), ..AccountChange::default() };
    let after = Account { findable: hidden, ..expected };
    assert_eq!(change(store, ALICE, unseen, 9), Changed::Done(Box::new(after.clone())));
    let none = AccountChange { avatar: Some(None), ..AccountChange::default() };
    let bare = Account { avatar: None, updated: at(6), ..after };
    assert_eq!(change(store, ALICE, none, 3), Changed::Done(Box::new(bare)), "a clock that was set back");
    assert_eq!(change(store, CAROL, renamed("carol"), 9), Changed::Missing);
    assert_eq!(ready(store.account_of_name("carol")), Ok(None));
}

/// A name that was given up stays closed to others for 30 days, and open to who had it.
pub fn a_name_that_was_given_up_is_closed_to_others<S: AccountStore>(store: &mut S) {
    assert_eq!(register(store, ALICE, "alice", 0), Registered::Made);
    assert_eq!(register(store, BOB, "bob", 0), Registered::Made);
    assert!(matches!(change(store, ALICE, renamed("ada"), 10), Changed::Done(_)));
    assert_eq!(ready(store.account_of_name("alice")), Ok(None));
    let free = 10 + NAME_RESERVED_MILLIS;
    assert_eq!(change(store, BOB, renamed("ALICE"), free - 1), Changed::NameTaken);
    assert_eq!(register(store, CAROL, "alice", free - 1), Registered::NameTaken);
    assert!(matches!(change(store, ALICE, renamed("Alice"), 20), Changed::Done(_)), "her own");
    assert!(matches!(change(store, ALICE, renamed("ALICE"), 21), Changed::Done(_)), "another spelling");
    let (holder, _) = (ready(store.account_of_name("alice")).expect("readable").map(|one| one.user_name), ());
    assert_eq!(holder.as_deref(), Some("ALICE"));
    assert_eq!(ready(store.name_is_taken("ada", at(22))), Ok(true));
    assert!(matches!(change(store, ALICE, renamed("ada"), 30), Changed::Done(_)));
    let free = 30 + NAME_RESERVED_MILLIS;
    assert!(matches!(change(store, BOB, renamed("alice"), free), Changed::Done(_)));
    assert_eq!(change(store, ALICE, renamed("alice"), free), Changed::NameTaken);
    // Of a removed account all names close, also the one of the moment.
    ready(store.remove(BOB, at(free))).expect("removes");
    assert_eq!(ready(store.name_is_taken("alice", at(free + 1))), Ok(true));
}

/// All users that a search finds, in pages of `limit`.
fn searched<S: AccountStore>(store: &S, words: &[&str], limit: u32) -> Vec<UserId> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let (mut users, mut after) = (Vec::new(), None);
    loop {
        let found = ready(store.search(&words, after.as_ref(), limit)).expect("readable");
        assert!(found.accounts.len() <= limit as usize);
        users.extend(found.accounts.iter().map(|account| account.user));
        assert!(found.next.is_none() || found.next > after, "it goes on");
        after = found.next;
        if after.is_none() {
            return users;
        }
    }
}

/// People are found by the beginnings of their words, each once, in one order, whatever the pages.
pub fn people_are_found_by_the_beginnings_of_their_names<S: AccountStore>(store: &mut S) {
    let user = |n: u8| UserId([n; 16]);
    let people = [
        (1, "ada", "Ada Lovelace"),
        (2, "lovely", "Élodie Lové"),
        (3, "adam.smith", "Adam Smith"),
        (4, "LOVELOCK", "Lovelock lovelock LOVE"),
        (5, "zoe", "Zoë Müller-Straße"),
        (6, "tanaka", "田中 太郎"),
    ];
    for (n, name, display_name) in people {
        let person = Account { display_name: display_name.to_owned(), ..account(user(n), name, 0) };
        assert_eq!(ready(store.register(&person, &new_session(n, 0))), Ok(Registered::Made));
    }
    for limit in [1, 2, 100] {
        let found = |words: &[&str]| -> Vec<u8> {
            searched(store, words, limit).iter().map(|user| user.0[0]).collect()
        };
        assert_eq!(found(&["ada"]), [1, 3]);
        assert_eq!(found(&["lov"]), [2, 4, 1], "by their first words: love, love, lovelace");
        assert_eq!(found(&["lovelace"]), [1]);
        assert_eq!(found(&["elod", "lov"]), [2]);
        assert_eq!(found(&["smith", "a"]), [3]);
        assert_eq!((found(&["strasse"]), found(&["mull"]), found(&["田"])), (vec![5], vec![5], vec![6]));
        assert_eq!((found(&["ove"]), found(&["ada", "smith"]), found(&[])), (vec![], vec![3], vec![]));
        assert_eq!(found(&["zz"]), [0_u8; 0]);
    }
    // Who does not want to be found by name, has another one, or is gone, is not.
    let hidden = AccountChange {
        findable: Some(Findable { by_name: false, by_phone: false }),
        ..AccountChange::default()
    };
    assert!(matches!(change(store, user(1), hidden, 1), Changed::Done(_)));
    assert_eq!(searched(store, &["ada"], 9), [user(3)]);
    let shown = AccountChange {
        findable: Some(Findable::default()),
        display_name: Some("Countess".to_owned()),
        ..renamed("augusta")
    };
    assert!(matches!(change(store, user(1), shown, 2), Changed::Done(_)));
    assert_eq!(
        (searched(store, &["ada"], 9), searched(store, &["count", "aug"], 9)),
        (vec![user(3)], vec![user(1)])
    );
    ready(store.remove(user(3), at(3))).expect("removes");
    assert_eq!(searched(store, &["ada"], 9), []);
    assert_eq!(ready(store.index_words(10)), Ok(0), "all have their words");
}

/// One question looks at a bounded number of places, and says where it goes on.
pub fn a_search_for_what_is_rare_among_many_ends<S: AccountStore>(store: &mut S) {
    let many = SEARCH_WORDS_MAX + 50;
    for n in 0..many {
        let mut id = [9; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let number = Phone::from_e164(&format!("+49151{:08}", 10_000_000 + n)).expect("a number");
        let last = if n == many - 1 { "rare" } else { "usual" };
        let person = Account::new(UserId(id), number, format!("common{n:05}"), last.to_owned(), at(0));
        let session = NewSession { session: SessionId(id), ..new_session(1, 0) };
        assert_eq!(ready(store.register(&person, &session)), Ok(Registered::Made));
    }
    let words = ["common".to_owned(), "rar".to_owned()];
    let first = ready(store.search(&words, None, 10)).expect("readable");
    assert!(first.accounts.is_empty() && first.next.is_some(), "not among the first");
    let second = ready(store.search(&words, first.next.as_ref(), 10)).expect("readable");
    assert_eq!((second.accounts.len(), second.next), (1, None));
}

/// A family turns from the generation that was seen, once.
pub fn a_family_turns_once_from_each_generation<S: AccountStore>(store: &mut S) {
    register(store, ALICE, "alice", 0);
    let mut next = family(7, 0);
    for generation in 0..12u32 {
        let wall = u64::from(generation) * MINUTE;
        next.generation = generation + 1;
        next.hash = SecretHash([generation as u8; 32]);
        next.rotations.push(at(wall));
        if next.rotations.len() > ROTATIONS_KEPT {
            next.rotations.remove(0);
        }
        next.idle_expires = at(wall + 30 * DAY);
        assert_eq!(ready(store.rotate(id(101), generation, &next, at(wall))), Ok(true));
        assert_eq!(ready(store.rotate(id(101), generation, &next, at(wall))), Ok(false), "the second loses");
        let kept = session(store, 101).expect("there");
        assert_eq!((&kept.family, kept.last_used), (&next, at(wall)));
        assert_eq!((kept.user, kept.epoch, kept.created), (ALICE, 1, at(0)));
    }
    assert_eq!(ready(store.rotate(id(9), 0, &next, at(0))), Ok(false), "no such session");
    ready(store.revoke(ALICE, Which::All, AuditKind::RefreshReuse, at(1))).expect("revokes");
    assert_eq!(ready(store.rotate(id(101), 12, &next, at(2))), Ok(false), "ended");
}

/// Sessions end one, or all but one, or all; each once, and only by their owner.
pub fn sessions_end_once_and_by_their_owner<S: AccountStore>(store: &mut S) {
    register(store, ALICE, "alice", 0);
    register(store, BOB, "bob", 0);
    for n in 1..=4 {
        assert!(open(store, ALICE, &new_session(n, u64::from(n))).is_empty());
    }
    assert_eq!(listed(store, ALICE, 10), [id(101), id(1), id(2), id(3), id(4)]);
    let revoke = |store: &mut S, user, which, reason| {
        let mut ended: Vec<_> = ready(store.revoke(user, which, reason, at(10)))
            .expect("revokes")
            .iter()
            .map(|one| (one.user, one.session, one.epoch))
            .collect();
        ended.sort_unstable();
        ended
    };
    assert_eq!(revoke(store, BOB, Which::One(id(1)), AuditKind::Revoked), [], "another's");
    assert_eq!(revoke(store, ALICE, Which::One(id(1)), AuditKind::SignedOut), [(ALICE, id(1), 2)]);
    assert_eq!(revoke(store, ALICE, Which::One(id(1)), AuditKind::SignedOut), [], "already");
    assert_eq!(session(store, 1), None);
    assert_eq!(
        revoke(store, ALICE, Which::Others(id(3)), AuditKind::Revoked),
        [(ALICE, id(2), 2), (ALICE, id(4), 2), (ALICE, id(101), 2)]
    );
    assert_eq!(listed(store, ALICE, 10), [id(3)]);
    assert_eq!(revoke(store, ALICE, Which::All, AuditKind::RefreshReuse), [(ALICE, id(3), 2)]);
    assert_eq!(listed(store, BOB, 10), [id(102)], "nobody else's");
    let events = ready(store.audit(ALICE, 1)).expect("readable");
    assert_eq!((events[0].kind, events[0].session, events[0].at), (AuditKind::RefreshReuse, id(3), at(10)));
    assert_eq!(ready(store.audit(ALICE, 100)).expect("readable").len(), 11);
    assert_eq!(ready(store.revoked_since(at(10))).expect("readable").len(), 5);
    assert_eq!(ready(store.revoked_since(at(11))).expect("readable"), []);
}

/// The session that was not used for longest makes room; sessions that are over need none.
pub fn the_least_used_session_makes_room<S: AccountStore>(store: &mut S) {
    register(store, ALICE, "alice", 0);
    let limited = |n: u8, wall| NewSession { sessions_max: 3, ..new_session(n, wall) };
    assert!(open(store, ALICE, &limited(1, 1)).is_empty());
    assert!(open(store, ALICE, &limited(2, 2)).is_empty());
    // The oldest one is used again.
    ready(store.rotate(id(101), 0, &Family { generation: 1, ..family(5, 3) }, at(3))).expect("turns");
    assert_eq!(open(store, ALICE, &limited(3, 4)), [id(1)]);
    assert_eq!(open(store, ALICE, &NewSession { sessions_max: 2, ..limited(4, 5) }), [id(101), id(2)]);
    assert_eq!(listed(store, ALICE, 5), [id(3), id(4)]);
    assert_eq!(ready(store.audit(ALICE, 2)).expect("readable")[1].kind, AuditKind::Displaced);
    let over = 5 + 30 * DAY;
    assert_eq!(listed(store, ALICE, over), [], "over by being idle");
    assert!(open(store, ALICE, &NewSession { sessions_max: 1, ..limited(5, over) }).is_empty());
    assert!(session(store, 3).is_some(), "but still known to be over");
    let later = over + ENDED_SESSION_KEPT_MILLIS;
    open(store, ALICE, &limited(6, later));
    assert_eq!(session(store, 3), None, "and forgotten a day later");
    assert_eq!(listed(store, ALICE, later), [id(5), id(6)]);
}

/// Charges count together or not at all; no window of the stated length ever holds more than the limit.
pub fn charges_count_together_and_never_too_many<S: AccountStore>(store: &mut S) {
    let hourly = Charge { key: [1; 16], window_millis: HOUR, amount: 1, max: 3 };
    let other = Charge { key: [2; 16], window_millis: HOUR, amount: 1, max: 1 };
    assert_eq!(charge(store, &[hourly, other], 0), Charged::Done);
    let refused = charge(store, &[hourly, other], 1);
    assert!(matches!(refused, Charged::Refused { index: 1, .. }), "{refused:?}");
    // The refused pair counted nothing: two are left.
    assert_eq!(charge(store, &[hourly, hourly], 2), Charged::Done, "one key twice counts twice");
    let Charged::Refused { index: 0, retry_after_millis } = charge(store, &[hourly], 3) else {
        panic!("over the limit")
    };
    assert!((HOUR - 3..=HOUR + HOUR / 24).contains(&retry_after_millis), "{retry_after_millis}");
    assert!(matches!(charge(store, &[hourly], 3 + retry_after_millis - 1), Charged::Refused { .. }));
    assert_eq!(charge(store, &[hourly], 3 + retry_after_millis), Charged::Done);

    let daily = Charge { key: [3; 16], window_millis: DAY, amount: 1, max: 5 };
    let mut accepted = Vec::new();
    for step in 0..600u64 {
        let wall = step * 13 * MINUTE + step % 7 * 1_234;
        if charge(store, &[daily], wall) == Charged::Done {
            accepted.push(wall);
        }
    }
    assert!(accepted.windows(6).all(|six| six[5] - six[0] >= DAY), "{accepted:?}");
    assert!(accepted.len() >= 5 * 5, "and the limit is nearly used: {}", accepted.len());
}

/// Amounts add up to the limit and not beyond it; what does not fit now fits when enough has left the window.
pub fn amounts_add_up_to_the_limit<S: AccountStore>(store: &mut S) {
    let of = |amount| Charge { key: [1; 16], window_millis: DAY, amount, max: 1_000 };
    let once = Charge { key: [2; 16], window_millis: DAY, amount: 1, max: 9 };
    assert_eq!(charge(store, &[of(600), once], 0), Charged::Done);
    assert_eq!(charge(store, &[of(300), once], 2 * HOUR), Charged::Done);
    let Charged::Refused { index: 1, retry_after_millis } = charge(store, &[once, of(101)], 3 * HOUR) else {
        panic!("one beyond the limit")
    };
    // When the first amount has left the window: slices do not begin when a test does.
    let first_left = 3 * HOUR + retry_after_millis;
    assert!((DAY..=DAY + HOUR).contains(&first_left), "{retry_after_millis}");
    assert_eq!(charge(store, &[of(100), once], 3 * HOUR), Charged::Done, "the refused pair counted nothing");
    assert!(matches!(charge(store, &[of(1)], 3 * HOUR), Charged::Refused { .. }), "it is used up");
    assert!(matches!(charge(store, &[of(601)], first_left), Charged::Refused { .. }));
    assert_eq!(charge(store, &[of(600)], first_left), Charged::Done);
    assert!(matches!(charge(store, &[of(1_001)], 9 * DAY), Charged::Refused { .. }), "more than ever fits");
    assert_eq!(charge(store, &[of(1_000)], 9 * DAY), Charged::Done);
}

/// A clock that jumps back gives nothing back.
pub fn a_clock_that_jumps_back_resets_no_counter<S: AccountStore>(store: &mut S) {
    let daily = Charge { key: [1; 16], window_millis: DAY, amount: 1, max: 2 };
    assert_eq!(charge(store, &[daily, daily], 10 * DAY), Charged::Done);
    for back in [0, MINUTE, HOUR, DAY - 1] {
        assert!(matches!(charge(store, &[daily], 10 * DAY - back), Charged::Refused { .. }), "{back}");
    }
}

/// A new account waits until it is marked, oldest first; one that was refused does not, one that was removed does.
pub fn new_accounts_wait_until_they_are_published<S: AccountStore>(store: &mut S) {
    assert_eq!(ready(store.unpublished(10)), Ok(Vec::new()));
    assert_eq!(register(store, BOB, "bob", 3), Registered::Made);
    assert_eq!(register(store, ALICE, "alice", 7), Registered::Made);
    assert_eq!(register(store, CAROL, "ALICE", 8), Registered::NameTaken);
    assert_eq!(register(store, CAROL, "carol", 9), Registered::Made);
    ready(store.remove(ALICE, at(10))).expect("removes");
    assert_eq!(ready(store.unpublished(2)), Ok(vec![(BOB, at(3)), (ALICE, at(7))]));
    assert_eq!(ready(store.unpublished(10)), Ok(vec![(BOB, at(3)), (ALICE, at(7)), (CAROL, at(9))]));
    assert_eq!(ready(store.mark_published(&[])), Ok(()));
    assert_eq!(ready(store.mark_published(&[ALICE, UserId([9; 16])])), Ok(()));
    assert_eq!(ready(store.unpublished(10)), Ok(vec![(BOB, at(3)), (CAROL, at(9))]));
    assert_eq!(ready(store.mark_published(&[CAROL, BOB])), Ok(()));
    assert_eq!(ready(store.mark_published(&[BOB])), Ok(()), "twice is once");
    assert_eq!(ready(store.unpublished(10)), Ok(Vec::new()));
}

/// Three accounts, one of them removed and the event of another out, sessions of every fate, counters of one and of more.
pub(super) fn some_of_everything<S: ErasureStore>(store: &mut S) {
    assert_eq!(register(store, BOB, "Bob", 0), Registered::Made);
    assert_eq!(register(store, ALICE, "Alice", 1), Registered::Made);
    assert_eq!(register(store, CAROL, "Carol", 2), Registered::Made);
    ready(store.mark_published(&[CAROL])).expect("marks");
    let profile = AccountChange {
        display_name: Some("Carol Danvers".to_owned()),
        bio: Some("says".to_owned()),
        avatar: Some(Some([5; 16])),
        findable: Some(Findable { by_name: true, by_phone: true }),
        ..renamed("Carla")
    };
    assert!(matches!(change(store, CAROL, profile, 3), Changed::Done(_)));
    for n in [10, 11, 12] {
        ready(store.open_session(ALICE, &new_session(n, MINUTE))).expect("opens");
    }
    ready(store.revoke(ALICE, Which::One(id(10)), AuditKind::SignedOut, at(HOUR))).expect("revokes");
    let mut turned = family(11, 0);
    turned.generation = 1;
    turned.rotations = vec![at(HOUR), at(2 * HOUR)];
    assert_eq!(ready(store.rotate(id(11), 0, &turned, at(2 * HOUR))), Ok(true));
    ready(store.remove(BOB, at(HOUR))).expect("removes");
    let hour = Charge { key: [3; 16], window_millis: HOUR, amount: 2, max: 10 };
    for minute in [0, 10, 20] {
        assert_eq!(charge(store, &[hour], minute * MINUTE), Charged::Done);
    }
    super::factors::some_of_everything(store);
    super::erasures::some_of_everything(store);
}

/// What a copy of [`some_of_everything`] must take as its source does.
pub(super) fn more_of_everything<S: ErasureStore>(store: &mut S) {
    let name_of_the_removed = register(store, UserId([4; 16]), "bob", DAY);
    assert_eq!(name_of_the_removed, Registered::NameTaken);
    assert_eq!(register(store, UserId([4; 16]), "dave", DAY), Registered::Made);
    let hour = Charge { key: [3; 16], window_millis: HOUR, amount: 1, max: 7 };
    assert_eq!(charge(store, &[hour], 21 * MINUTE), Charged::Done);
    assert!(matches!(charge(store, &[hour], 22 * MINUTE), Charged::Refused { .. }));
    ready(store.revoke(ALICE, Which::All, AuditKind::Revoked, at(3 * HOUR))).expect("revokes");
    super::factors::more_of_everything(store);
    super::erasures::more_of_everything(store);
}

/// Somebody goes, and somebody else, whose id is lower and another one's whose is higher, has the number.
pub(super) fn numbers_that_pass_on<S: AccountStore>(store: &mut S) {
    ready(store.remove(CAROL, at(DAY))).expect("removes");
    let (low, high) = (UserId(1u128.to_be_bytes()), UserId([0xee; 16]));
    for (user, name) in [(low, "erin"), (high, "frank")] {
        let taken = Account { phone: phone(CAROL.0[0]), ..account(user, name, DAY) };
        let made = ready(store.register(&taken, &new_session(0x70 + user.0[0] % 16, DAY)));
        assert_eq!(made, Ok(Registered::Made));
        if user == low {
            ready(store.remove(user, at(DAY))).expect("removes");
        }
    }
}

/// Compares what can be asked for.
pub(super) fn the_same_is_answered<A: ErasureStore, B: ErasureStore>(one: &A, other: &B) {
    for user in [ALICE, BOB, CAROL] {
        assert_eq!(ready(one.accounts(&[user])), ready(other.accounts(&[user])));
        assert_eq!(ready(one.sessions(user, at(0))), ready(other.sessions(user, at(0))));
        assert_eq!(ready(one.audit(user, 100)), ready(other.audit(user, 100)));
        assert_eq!(
            ready(one.account_of_phone(&phone(user.0[0]))),
            ready(other.account_of_phone(&phone(user.0[0])))
        );
    }
    for words in [&["da"][..], &["lynk", "al"], &["car"]] {
        assert_eq!(searched(one, words, 1), searched(other, words, 9), "{words:?}");
    }
    for name in ["alice", "bob", "carol", "carla"] {
        assert_eq!(ready(one.account_of_name(name)), ready(other.account_of_name(name)));
    }
    for n in 0..16 {
        assert_eq!(ready(one.session(id(n))), ready(other.session(id(n))));
    }
    assert_eq!(ready(one.revoked_since(at(0))), ready(other.revoked_since(at(0))));
    assert_eq!(ready(one.unpublished(10)), ready(other.unpublished(10)), "and in the same order");
    super::factors::the_same_is_answered(one, other);
    super::erasures::the_same_is_answered(one, other);
}
