use std::borrow::Cow;

use lynk_domain::{Key, LinkId, MediaId, MessageId, Millis, Ordinal, RoomKind, Seq};
use lynk_model::memory::MemoryFiles;
use lynk_model::{Attachment, Body, Link, Mentions, MoreSettings, Parts, RecordHead, RequestChange, RoomRow};

use super::*;
use crate::wire::Item;

const JOURNAL: Journal = (1, 0);
const ROOM: RoomId = RoomId([1; 16]);
const ANN: UserId = UserId([2; 16]);
const BEN: UserId = UserId([3; 16]);

/// A ledger that is told about one room, record by record.
struct Book {
    ledger: Ledger,
    lsn: u64,
    seq: u64,
    n: u64,
}

impl Book {
    /// A room of ANN and BEN with its first event committed.
    fn new(level: AckLevel) -> Self {
        let mut ledger = Ledger::default();
        let row = row(RoomKind::Public, level);
        let members = vec![(ANN, Role::Owner), (BEN, Role::Member)];
        ledger.transaction(&transaction(MetaChange::Create { row, members }), false).expect("carried out");
        let mut book = Self { ledger, lsn: 0, seq: 0, n: 0 };
        let event = MetaEvent::Created { kind: RoomKind::Public, name: String::new() };
        book.append(ANN, RecordKind::Meta, &Body::Meta { version: 1, event }).expect("the first event");
        book.commit();
        book
    }

    /// The 1:1 that ANN, a stranger, began with BEN.
    fn asked() -> Self {
        let mut ledger = Ledger::default();
        ledger.transaction(&begin(), true).expect("carried out");
        let mut book = Self { ledger, lsn: 0, seq: 0, n: 0 };
        let event = MetaEvent::Created { kind: RoomKind::Direct, name: String::new() };
        book.append(ANN, RecordKind::Meta, &Body::Meta { version: 1, event }).expect("the first event");
        book.commit();
        book
    }

    fn turn(&mut self, by: UserId, change: RequestChange) -> Check {
        let tx = MetaTransaction { actor: by, ..transaction(MetaChange::Conversation(change)) };
        self.ledger.transaction(&tx, false)
    }

    fn append(&mut self, sender: UserId, kind: RecordKind, body: &Body<'_>) -> Check {
        let seq = self.seq + 1;
        self.append_at(seq, Key([seq as u8; 16]), sender, kind, body)
    }

    fn append_at(&mut self, seq: u64, key: Key, sender: UserId, kind: RecordKind, body: &Body<'_>) -> Check {
        self.lsn += 1;
        self.seq = seq;
        let mut payload = Vec::new();
        body.encode(&mut payload);
        let (seq, wall) = (Seq(seq), Millis(1_000));
        let head = RecordHead { kind, flags: 0, room: ROOM, seq, rev: seq, wall, sender, key };
        self.ledger.append(JOURNAL, self.lsn, &Record { head, payload: &payload })
    }

    fn post(&mut self, sender: UserId, text: &str) -> Check {
        self.say(sender, text, Parts::none())
    }

    fn say(&mut self, sender: UserId, text: &str, parts: Cow<'_, Parts>) -> Check {
        self.n += 1;
        let (id, n, reply_to) = (MessageId([9; 16]), Ordinal(self.n), Seq(0));
        let body = Body::Message { id, n, reply_to, text, parts };
        self.append(sender, RecordKind::Message, &body)
    }

    fn commit(&mut self) {
        self.ledger.commit(JOURNAL, self.lsn, 10).expect("in order");
    }

    /// The event at the top as a server tells it, to `users`.
    fn tell(&mut self, text: &str, users: &[UserId]) -> Check {
        let (seq, n) = (self.seq, self.n);
        self.tell_json(
            &format!(
                r#"{{"ev":"message","room":"{ROOM}","seq":{seq},"n":{n},"id":"{}","from":"{ANN}","time":"1970-01-01T00:00:01.000Z","text":"{text}"}}"#,
                MessageId([9; 16])
            ),
            users,
        )
    }

    fn tell_json(&mut self, json: &str, users: &[UserId]) -> Check {
        self.ledger.deliver(&Item::parse(json.as_bytes()).expect("valid"), users)
    }
}

fn more() -> MoreSettings {
    MoreSettings {
        kind: RoomKind::Public,
        description: String::new(),
        avatar: MediaId::NIL,
        members_max: 0,
        retention_days: 0,
        read_only: false,
    }
}

fn settings(more: MoreSettings) -> MetaEvent {
    MetaEvent::Settings {
        name: String::new(),
        level: AckLevel::Local,
        visibility: HistoryVisibility::All,
        slow_mode_seconds: 0,
        more: Some(Box::new(more)),
    }
}

fn row(kind: RoomKind, level: AckLevel) -> RoomRow {
    RoomRow { level, version: 1, ..RoomRow::new(ROOM, kind, "", ANN, Millis(0)) }
}

fn transaction(change: MetaChange) -> MetaTransaction {
    MetaTransaction { room: ROOM, actor: ANN, key: Key::NIL, content_hash: 0, wall: Millis(0), change }
}

fn begin() -> MetaTransaction {
    let row = row(RoomKind::Direct, AckLevel::Local);
    transaction(MetaChange::Begin { row, user: BEN, requests_max: 50 })
}

fn kick(version: u64, user: UserId) -> Body<'static> {
    Body::Meta { version, event: MetaEvent::Kicked { user, reason: String::new() } }
}

#[test]
fn an_event_may_be_told_when_it_is_committed_and_not_before() {
    let mut book = Book::new(AckLevel::Local);
    book.post(ANN, "hi").expect("appends");
    assert!(book.tell("hi", &[BEN]).expect_err("too early").contains("before it is committed"));
    book.commit();
    book.tell("hi", &[BEN]).expect("committed");
    assert!(book.tell("ho", &[BEN]).expect_err("another text").contains("told wrongly"));
}

#[test]
fn a_room_of_level_memory_may_tell_early_but_not_claim_local() {
    let mut book = Book::new(AckLevel::Memory);
    book.post(ANN, "hi").expect("appends");
    book.tell("hi", &[BEN]).expect("level memory");
    let ok = format!(r#"{{"ev":"ok","re":1,"room":"{ROOM}","seq":2,"n":1,"level":"local"}}"#);
    assert!(book.tell_json(&ok, &[ANN]).is_err());
}

#[test]
fn an_acknowledgement_may_say_replicated_when_the_store_has_it() {
    let mut book = Book::new(AckLevel::Replicated);
    book.post(ANN, "hi").expect("appends");
    book.commit();
    book.tell("hi", &[BEN]).expect("committed");
    let id = MessageId([9; 16]);
    let ok =
        format!(r#"{{"ev":"ok","re":1,"room":"{ROOM}","seq":2,"n":1,"id":"{id}","level":"replicated"}}"#);
    assert!(book.tell_json(&ok, &[ANN]).expect_err("too early").contains("is not stored"));
    book.ledger.drain(&[(JOURNAL, book.lsn)].into());
    book.tell_json(&ok, &[ANN]).expect("stored");
}

#[test]
fn a_committed_record_must_survive_and_an_uncommitted_one_may_not_be_known() {
    let mut book = Book::new(AckLevel::Local);
    book.post(ANN, "hi").expect("appends");
    book.commit();
    book.post(ANN, "lost").expect("appends");
    assert!(book.ledger.would_survive(|_, lsn| lsn <= 1).is_err());
    book.ledger.crash(20, |_, lsn| lsn <= 2).expect("only the uncommitted one is lost");
    assert_eq!(book.ledger.room(ROOM).expect("known").top(), 2);
    assert!(book.ledger.crash(30, |_, lsn| lsn <= 1).expect_err("lost").contains("committed and lost"));
}

#[test]
fn seqs_are_neither_skipped_nor_given_twice() {
    let message = Body::Message {
        id: MessageId([9; 16]),
        n: Ordinal(1),
        reply_to: Seq(0),
        text: "x",
        parts: Parts::none(),
    };
    for seq in [1, 3] {
        let mut book = Book::new(AckLevel::Local);
        assert!(book.append_at(seq, Key([9; 16]), ANN, RecordKind::Message, &message).is_err(), "{seq}");
    }
}

#[test]
fn a_key_makes_one_event_and_none_once_it_was_refused() {
    let mut book = Book::new(AckLevel::Local);
    let delete = Body::Delete { target: Seq(1) };
    book.append_at(2, Key([7; 16]), ANN, RecordKind::Delete, &delete).expect("first use");
    assert!(book.append_at(3, Key([7; 16]), ANN, RecordKind::Delete, &delete).is_err());
    let mut book = Book::new(AckLevel::Local);
    book.ledger.refused(ANN, ROOM, Key([7; 16])).expect("not used yet");
    assert!(book.append_at(2, Key([7; 16]), ANN, RecordKind::Delete, &delete).is_err());
}

#[test]
fn nothing_goes_to_a_user_after_the_removal() {
    let mut book = Book::new(AckLevel::Local);
    let kicked = MetaEvent::Kicked { user: BEN, reason: String::new() };
    book.ledger.transaction(&transaction(MetaChange::Event(kicked)), false).expect("carried out");
    book.append(ANN, RecordKind::Meta, &kick(2, BEN)).expect("appends");
    book.post(ANN, "gone?").expect("appends");
    book.commit();
    book.tell("gone?", &[ANN]).expect("still a member");
    assert!(book.tell("gone?", &[ANN, BEN]).expect_err("removed").contains("not a member"));
}

#[test]
fn a_page_tells_everything_it_covers_as_it_was_when_it_was_asked_for() {
    let mut book = Book::new(AckLevel::Local);
    book.post(ANN, "hi").expect("appends");
    let delete = Body::Delete { target: Seq(2) };
    book.append(ANN, RecordKind::Delete, &delete).expect("appends");
    book.commit();
    let page = |events: &str, from: u64| {
        let json = format!(
            r#"{{"ev":"history","re":1,"room":"{ROOM}","events":[{events}],"covers":{{"from":{from},"to":2}},"more":false}}"#
        );
        Item::parse(json.as_bytes()).expect("valid")
    };
    let asked = Asked { user: BEN, room: ROOM, issued: 11, all: true, backward: false };
    let shown = r#"{"ev":"message","seq":2,"text":"hi"}"#;
    let hidden = r#"{"ev":"message","seq":2,"deleted":3}"#;
    book.ledger.page(&page(hidden, 2), &asked).expect("right");
    let what = book.ledger.page(&page(shown, 2), &asked).expect_err("deleted");
    assert!(what.contains("although delete"), "{what}");
    let what = book.ledger.page(&page(hidden, 1), &asked).expect_err("cut");
    assert!(what.contains("event 1 is missing"), "{what}");
    let stranger = Asked { user: UserId([8; 16]), ..asked };
    assert!(book.ledger.page(&page(hidden, 2), &stranger).is_err());
}

#[test]
fn unread_counts_what_others_said_and_did_not_take_back() {
    let mut book = Book::new(AckLevel::Local);
    for text in ["a", "b", "c"] {
        book.post(ANN, text).expect("appends");
    }
    book.post(BEN, "own").expect("appends");
    book.append(ANN, RecordKind::Delete, &Body::Delete { target: Seq(3) }).expect("appends");
    let room = book.ledger.room(ROOM).expect("known");
    assert_eq!(room.unread(BEN, (1, 0, 6), |_| true), 2);
    assert_eq!(room.unread(BEN, (1, 0, 6), |_| false), 3);
    assert_eq!(room.unread(ANN, (1, 0, 6), |_| true), 1);
    assert_eq!(room.unread(BEN, (4, 0, 6), |_| true), 0);
}

#[test]
fn mentions_are_counted_as_they_stand_and_not_across_a_block() {
    let mut book = Book::new(AckLevel::Local);
    let of = |users: &[UserId]| Cow::Owned(Parts::of_mentions(Mentions::new(false, users.to_vec())));
    for text in ["a", "b", "c"] {
        book.say(ANN, text, of(&[BEN])).expect("appends");
    }
    book.say(BEN, "myself", of(&[BEN])).expect("appends");
    let edit = Body::Edit { target: Seq(2), text: "a", parts: Parts::none() };
    book.append(ANN, RecordKind::Edit, &edit).expect("appends");
    let is = |book: &Book, told, issued| book.ledger.mentions_are(BEN, ROOM, (1, 6), told, issued);
    assert!(is(&book, 2, None).is_ok() && is(&book, 3, None).is_err() && is(&book, 1, None).is_err());
    assert!(is(&book, 3, Some(0)).is_ok(), "when it was asked for");
    book.commit();
    assert!(is(&book, 3, Some(10)).is_err(), "the edit was known by then");
    let block = |on| transaction(MetaChange::Block { by: BEN, user: ANN, on });
    book.ledger.transaction(&block(true), false).expect("carried out");
    assert!(is(&book, 0, None).is_ok() && is(&book, 2, None).is_err());
    assert!(is(&book, 2, Some(10)).is_ok(), "it may have been counted before the block");
    book.ledger.transaction(&block(false), false).expect("carried out");
    assert!(is(&book, 2, None).is_ok() && is(&book, 0, None).is_err());
    let what = book.say(ANN, "stranger", of(&[UserId([8; 16])])).expect_err("no member");
    assert!(what.contains("who is no member"), "{what}");
}

#[test]
fn an_acknowledged_removal_must_become_an_event() {
    let mut book = Book::new(AckLevel::Local);
    let key = Key([9; 16]);
    book.ledger.promised(ANN, ROOM, key, &Change::Kick { user: BEN, reason: "" }, Millis(0));
    assert!(book.ledger.unkept(Some(ROOM)).is_some());
    book.append_at(2, key, ANN, RecordKind::Meta, &kick(2, BEN)).expect("appends");
    assert_eq!(book.ledger.unkept(None), None);
}

#[test]
fn what_a_room_does_not_allow_is_no_event_of_it() {
    let cat = UserId([4; 16]);
    let after = |members_max, read_only| {
        let mut book = Book::new(AckLevel::Local);
        let event = settings(MoreSettings { members_max, read_only, ..more() });
        book.append(ANN, RecordKind::Meta, &Body::Meta { version: 2, event }).expect("appends");
        book
    };
    let meta = |event| Body::Meta { version: 3, event };
    let joined = |user| meta(MetaEvent::Joined { user, role: Role::Member });
    after(0, true).post(ANN, "news").expect("of the owner");
    let what = after(0, true).post(BEN, "a question").expect_err("of a plain member");
    assert!(what.contains("read-only"), "{what}");
    after(3, false).append(cat, RecordKind::Meta, &joined(cat)).expect("there is room");
    let what = after(2, false).append(cat, RecordKind::Meta, &joined(cat)).expect_err("it is full");
    assert!(what.contains("member 3 of 2"), "{what}");
    let what =
        after(0, false).append(BEN, RecordKind::Meta, &meta(MetaEvent::Deleted)).expect_err("no owner");
    assert!(what.contains("who is no owner"), "{what}");
    let mut book = after(0, false);
    book.append(ANN, RecordKind::Meta, &meta(MetaEvent::Deleted)).expect("the owner's");
    assert!(book.post(ANN, "still here?").expect_err("it is gone").contains("after the room was deleted"));
    let mut book = after(0, false);
    let (until, reason) = (Millis(0), String::new());
    book.append(ANN, RecordKind::Meta, &meta(MetaEvent::Banned { user: cat, until, reason }))
        .expect("appends");
    let back = Body::Meta { version: 4, event: MetaEvent::Joined { user: cat, role: Role::Member } };
    assert!(book.append(cat, RecordKind::Meta, &back).expect_err("banned").contains("is banned"));
}

#[test]
fn a_link_lets_in_as_many_as_it_says_and_only_while_it_is_there() {
    let mut book = Book::new(AckLevel::Local);
    let link = |id: u8, uses_max| {
        let link = Link {
            id: LinkId([id; 16]),
            hash: [id; 32],
            by: ANN,
            at: Millis(0),
            until: Millis(100),
            uses_max,
            uses: 0,
        };
        transaction(MetaChange::Link(Box::new(link)))
    };
    let enter = |id: u8, wall| {
        let tx = transaction(MetaChange::Enter { hash: [id; 32] });
        MetaTransaction { wall: Millis(wall), actor: BEN, ..tx }
    };
    let mut carried = |tx: &MetaTransaction| book.ledger.transaction(tx, false);
    carried(&link(1, 1)).expect("made");
    carried(&enter(1, 50)).expect("one may");
    assert!(carried(&enter(1, 50)).expect_err("a second").contains("used up"));
    assert!(carried(&enter(2, 50)).expect_err("no such").contains("never made"));
    carried(&link(3, 0)).expect("made");
    assert!(carried(&enter(3, 100)).expect_err("late").contains("over"));
    carried(&transaction(MetaChange::Unlink { link: LinkId([3; 16]) })).expect("ended");
    assert!(carried(&enter(3, 50)).expect_err("ended").contains("over"));
    let link = MetaTransaction { actor: BEN, ..link(4, 0) };
    assert!(carried(&link).expect_err("BEN is no moderator").contains("no moderator"));
}

#[test]
fn a_request_is_open_until_it_is_decided_and_decided_once() {
    let mut book = Book::new(AckLevel::Local);
    let asker = UserId([4; 16]);
    let ask = MetaTransaction { actor: asker, ..transaction(MetaChange::Ask { text: String::new() }) };
    let decline = transaction(MetaChange::Decline { user: asker });
    assert!(book.ledger.transaction(&decline, false).expect_err("nobody asked").contains("not open"));
    book.ledger.transaction(&ask, false).expect("asked");
    assert!(book.ledger.transaction(&ask, false).expect_err("again").contains("while its request is open"));
    book.ledger.transaction(&decline, false).expect("declined");
    assert!(book.ledger.transaction(&decline, false).expect_err("again").contains("not open"));
    book.ledger.decided(ANN, ROOM, asker, Key([1; 16])).expect("once");
    book.ledger.decided(ANN, ROOM, asker, Key([1; 16])).expect("a retry");
    assert!(book.ledger.decided(BEN, ROOM, asker, Key([2; 16])).expect_err("twice").contains("2 decisions"));
}

#[test]
fn a_file_is_in_one_message_and_given_back_with_its_delete() {
    let mut book = Book::new(AckLevel::Local);
    let file = MediaId([7; 16]);
    let parts =
        || Parts { attachments: vec![Attachment { id: file, ..Attachment::default() }], ..Parts::default() };
    let none = book.say(ANN, "", Cow::Owned(parts())).expect_err("nobody put it");
    assert!(none.contains("none of its sender's"), "{none}");
    let mut book = Book::new(AckLevel::Local);
    book.ledger.put(file, ROOM, ANN);
    book.say(ANN, "", Cow::Owned(parts())).expect("its file");
    book.commit();
    let seq = book.seq;
    assert!(book.ledger.given_back(ROOM, &[file]).expect_err("it stands").contains("which stands"));
    let second = book.say(ANN, "", Cow::Owned(parts())).expect_err("a second message");
    assert!(second.contains("which is in"), "{second}");
    // It was refused before it was numbered; its record is in the journal all the same.
    book.seq -= 1;
    book.append(ANN, RecordKind::Delete, &Body::Delete { target: Seq(seq) }).expect("deleted");
    assert!(book.ledger.given_back(ROOM, &[file]).expect_err("not committed").contains("which stands"));
    book.commit();
    let store = MemoryFiles::default();
    let described = Attachment { id: file, ..Attachment::default() };
    store.put(ROOM, ANN, described, true);
    assert!(book.ledger.misplaced(&store).expect("it is there").contains("after its delete"));
    book.ledger.given_back(ROOM, &[file]).expect("now it may");
    assert_eq!(book.ledger.misplaced(&MemoryFiles::default()), None);
}

#[test]
fn nothing_of_an_erased_account_is_told_to_who_asks_afterwards() {
    let mut book = Book::new(AckLevel::Local);
    book.post(ANN, "hi").expect("appends");
    book.commit();
    let page = |text: &str| {
        let message = format!(
            r#"{{"ev":"message","room":"{ROOM}","seq":2,"n":1,"id":"{}","from":"{ANN}","time":"1970-01-01T00:00:01.000Z"{text}}}"#,
            MessageId([9; 16])
        );
        let page = format!(
            r#"{{"ev":"history","room":"{ROOM}","events":[{message}],"covers":{{"from":2,"to":2}},"more":false}}"#
        );
        Item::parse(page.as_bytes()).expect("valid")
    };
    let asked = |issued| Asked { user: BEN, room: ROOM, issued, all: false, backward: false };
    book.ledger.erase(ANN);
    book.ledger.page(&page(r#","text":"hi""#), &asked(50)).expect("it is not done yet");
    assert!(book.ledger.erased_is_gone().is_ok(), "it is not done yet");
    book.ledger.erasure_done(ANN, 60);
    assert!(book.ledger.page(&page(r#","text":"hi""#), &asked(70)).expect_err("said").contains("erased"));
    assert!(book.ledger.erased_is_gone().expect_err("it stands").contains("stands"));
    book.append(ANN, RecordKind::Delete, &Body::Delete { target: Seq(2) }).expect("deleted");
    book.commit();
    book.ledger.erased_is_gone().expect("taken back");
    book.ledger.page(&page(r#","deleted":3"#), &asked(70)).expect("nothing is said");
}

#[test]
fn who_is_banned_comes_in_by_nothing_also_when_the_ban_is_no_event_yet() {
    let user = UserId([4; 16]);
    let joined = |version| Body::Meta { version, event: MetaEvent::Joined { user, role: Role::Member } };
    let mut book = Book::new(AckLevel::Local);
    let ban = Change::Ban { user, seconds: None };
    book.ledger.promised(ANN, ROOM, Key([8; 16]), &ban, Millis(500));
    let told = book.append(user, RecordKind::Meta, &joined(2)).expect_err("promised");
    assert!(told.contains("was told that it is banned"), "{told}");
    let mut book = Book::new(AckLevel::Local);
    let banned = MetaEvent::Banned { user, until: Millis(0), reason: String::new() };
    book.append(ANN, RecordKind::Meta, &Body::Meta { version: 2, event: banned }).expect("banned");
    let told = book.append(ANN, RecordKind::Meta, &joined(3)).expect_err("banned");
    assert!(told.contains("joins and is banned"), "{told}");
}

#[test]
fn a_stranger_says_three_things_and_who_is_asked_none() {
    let mut ledger = Ledger::default();
    assert!(ledger.transaction(&begin(), false).expect_err("they share no room").contains("strangers true"));
    let mut book = Book::asked();
    assert!(book.post(BEN, "hello").expect_err("not accepted").contains("before it is accepted"));
    let mut book = Book::asked();
    for text in ["one", "two", "three"] {
        book.post(ANN, text).expect("appends");
    }
    assert!(book.post(ANN, "four").expect_err("three were said").contains("too many"));
    let mut book = Book::asked();
    book.post(ANN, "one").expect("appends");
    let edit = Body::Edit { target: Seq(2), text: "another", parts: Parts::none() };
    assert!(
        book.append(ANN, RecordKind::Edit, &edit)
            .expect_err("not accepted")
            .contains("before it is accepted")
    );
    let mut book = Book::asked();
    assert!(book.turn(ANN, RequestChange::Accept).is_err(), "by who asked");
    book.turn(BEN, RequestChange::Accept).expect("by who is asked");
    for (who, text) in [(BEN, "one"), (ANN, "two"), (ANN, "three"), (ANN, "four"), (ANN, "five")] {
        book.post(who, text).expect("accepted");
    }
}

#[test]
fn whom_a_stranger_adds_to_a_room_is_a_stranger_until_it_writes_there() {
    let hall = RoomId([7; 16]);
    let made = |ledger: &mut Ledger| {
        let members = vec![(ANN, Role::Owner)];
        let row = RoomRow { room: hall, ..row(RoomKind::Private, AckLevel::Local) };
        let tx = MetaTransaction { room: hall, ..transaction(MetaChange::Create { row, members }) };
        ledger.transaction(&tx, false).expect("made");
        let added = MetaEvent::Joined { user: BEN, role: Role::Member };
        let tx = MetaTransaction { room: hall, ..transaction(MetaChange::Event(added)) };
        ledger.transaction(&tx, false).expect("added");
    };
    let mut ledger = Ledger::default();
    made(&mut ledger);
    assert!(ledger.transaction(&begin(), false).expect_err("a stranger added").contains("strangers true"));
    ledger.transaction(&begin(), true).expect("a stranger added");
    let mut ledger = Ledger::default();
    made(&mut ledger);
    assert!(ledger.wrote(hall, BEN).expect_err("it did not").contains("did not"));
}

#[test]
fn who_declined_hears_no_more_and_who_asked_sees_it_wait() {
    let mut book = Book::asked();
    book.post(ANN, "one").expect("appends");
    book.commit();
    book.tell("one", &[BEN]).expect("it waits");
    let accepted = format!(r#"{{"ev":"conversation_accepted","room":"{ROOM}","user":"{BEN}"}}"#);
    assert!(book.tell_json(&accepted, &[ANN]).is_err(), "it is not");
    book.turn(BEN, RequestChange::Decline { seq: Seq(2), n: Ordinal(1) }).expect("declined");
    book.ledger.declined(ROOM, BEN, 9);
    book.post(ANN, "two").expect("appends");
    book.commit();
    book.tell("two", &[ANN]).expect("its own");
    assert!(book.tell("two", &[BEN]).expect_err("declined").contains("has declined it"));
    assert!(book.ledger.keeps_out(ROOM, BEN) && !book.ledger.keeps_out(ROOM, ANN));
    assert_eq!(book.ledger.rooms_of(BEN), BTreeSet::new());
    assert!(book.ledger.side_is(ROOM, ANN, Some("sent")).is_ok());
    assert!(book.ledger.side_is(ROOM, ANN, None).is_err());
    book.turn(BEN, RequestChange::Accept).expect("after all");
    book.tell("two", &[BEN]).expect("accepted");
    book.tell_json(&accepted, &[ANN, BEN]).expect("accepted");
}

#[test]
fn a_picture_is_its_setters_and_given_back_for_another() {
    let (first, second) = (MediaId([7; 16]), MediaId([8; 16]));
    let mut book = Book::new(AckLevel::Local);
    let ledger = &mut book.ledger;
    let set = |ledger: &mut Ledger, actor, avatar| {
        let event = settings(MoreSettings { avatar, ..more() });
        ledger.transaction(&MetaTransaction { actor, ..transaction(MetaChange::Event(event)) }, false)
    };
    let store = MemoryFiles::default();
    for picture in [first, second] {
        ledger.put_picture(picture, ROOM, ANN);
        store.put_picture(ROOM, ANN, picture, true);
    }
    assert!(ledger.took_picture(ROOM, BEN, first).expect_err("not his").contains("none of"));
    ledger.took_picture(ROOM, ANN, first).expect("hers");
    set(ledger, ANN, first).expect("hers");
    ledger.picture_is(ROOM, first).expect("it is");
    assert!(ledger.picture_is(ROOM, second).expect_err("it is not").contains("as its picture"));
    assert_eq!(ledger.misplaced(&store), None);
    ledger.took_picture(ROOM, ANN, second).expect("hers");
    set(ledger, ANN, second).expect("hers");
    assert!(ledger.kept_picture(ROOM, first).expect_err("the second is lost").contains("is kept"));
    assert!(ledger.misplaced(&store).expect("the first").contains("is there and over"));
    assert_eq!(ledger.kept_picture(ROOM, second), Ok(1));
    assert_eq!(ledger.kept_picture(ROOM, second), Ok(0), "once");
    assert!(ledger.took_picture(ROOM, ANN, first).expect_err("it is over").contains("given back"));
    assert!(ledger.misplaced(&MemoryFiles::default()).expect("the second").contains("is gone"));
    assert!(set(ledger, ANN, first).expect_err("it is over").contains("nobody keeps"));
    assert!(set(ledger, BEN, second).expect_err("not his").contains("none of its own"));
}
