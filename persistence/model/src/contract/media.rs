//! The suites of the port of media.

use lynk_domain::{Key, MediaId, Millis, RoomId, Seq, UserId};

use super::copies::{all_rows, copy, follow};
use crate::media::{
    Attach, AttachOutcome, Attached, Begun, Media, MediaFacts, MediaState, NotAttached, PictureOf, Purpose,
    Quota, Rejection, Settled, UPLOADS_WINDOW_MILLIS, Usage,
};
use crate::memory::MemoryMedia;
use crate::port::{MediaDump, MediaFill, MediaStore, ready};

const ROOM: RoomId = RoomId([0x70; 16]);
const QUOTA: Quota = Quota { bytes: 1_000, uploads: 4, open: 2 };
const DAY: u64 = UPLOADS_WINDOW_MILLIS;

fn user(n: u8) -> UserId {
    UserId([n; 16])
}

fn id(n: u8) -> MediaId {
    MediaId([n; 16])
}

fn file(n: u8, bytes: u64, created: u64) -> Media {
    Media {
        id: id(n),
        owner: user(1),
        room: ROOM,
        purpose: Purpose::Attachment,
        name: format!("name {n} \u{e9}.png"),
        kind: "image/png".to_owned(),
        facts: MediaFacts { bytes, ..MediaFacts::default() },
        state: MediaState::Pending,
        created: Millis(created),
        changed: Millis(created),
        attached: None,
        leaves: None,
        seq: None,
        emptied: false,
    }
}

fn facts(bytes: u64) -> MediaFacts {
    MediaFacts { bytes, width: 640, height: 480, thumbnails: 0b11 }
}

fn begin<S: MediaStore>(store: &mut S, media: &Media) -> Begun {
    ready(store.begin(media, &QUOTA)).expect("begins")
}

fn get<S: MediaStore>(store: &S, n: u8) -> Option<Media> {
    ready(store.media(&[id(n)])).expect("readable").pop()
}

fn settle<S: MediaStore>(store: &mut S, n: u8, settled: Settled, now: u64) -> Option<Media> {
    ready(store.settle(id(n), &settled, Millis(now))).expect("settles")
}

/// Begins a file, however much there is.
fn awaited<S: MediaStore>(store: &mut S, media: &Media) {
    let wide = Quota { bytes: u64::MAX >> 2, uploads: 1_000, open: 1_000 };
    assert_eq!(ready(store.begin(media, &wide)), Ok(Begun::Done));
}

/// Begins a file and makes it ready.
fn stored<S: MediaStore>(store: &mut S, media: &Media, now: u64) {
    awaited(store, media);
    let settled = Settled::Ready(facts(media.facts.bytes));
    let after = ready(store.settle(media.id, &settled, Millis(now))).expect("settles").expect("there");
    assert_eq!((after.state, after.changed), (MediaState::Ready, Millis(now)));
}

fn attach(ids: &[u8], owner: u8, room: RoomId, key: u8, at: u64) -> Attach {
    let ids = ids.iter().map(|n| id(*n)).collect();
    let purpose = Purpose::Attachment;
    Attach { ids, owner: user(owner), room, purpose, key: Key([key; 16]), at: Millis(at) }
}

/// An upload begins only within the quota of its account, and what is over gives back bytes at once and uploads after a day.
pub fn a_quota_holds_before_anything_is_stored<S: MediaStore>(store: &mut S) {
    assert_eq!(begin(store, &file(1, 600, 10)), Begun::Done);
    assert_eq!(begin(store, &file(1, 600, 10)), Begun::Done, "the same again");
    assert_eq!(begin(store, &file(2, 401, 11)), Begun::Bytes);
    assert_eq!(begin(store, &file(2, 400, 11)), Begun::Done);
    assert_eq!(begin(store, &file(3, 0, 12)), Begun::Open);
    let other = Media { owner: user(2), ..file(9, 1_000, 12) };
    assert_eq!(begin(store, &other), Begun::Done, "each account has its own");
    assert_eq!(settle(store, 1, Settled::Ready(facts(500)), 13).expect("there").facts, facts(500));
    assert_eq!(begin(store, &file(3, 101, 14)), Begun::Bytes);
    assert_eq!(begin(store, &file(3, 100, 14)), Begun::Done, "what was taken out of a picture is free");
    settle(store, 2, Settled::Rejected(Rejection::Damaged), 15);
    assert_eq!(begin(store, &file(4, 1, 16)), Begun::Bytes, "its bytes are still there");
    ready(store.emptied(&[id(2)])).expect("empties");
    assert_eq!(ready(store.usage(user(1), Millis(16))), Ok(Usage { bytes: 600, uploads: 3, open: 1 }));
    assert_eq!(begin(store, &file(4, 1, 16)), Begun::Done);
    settle(store, 4, Settled::Ready(facts(1)), 17);
    assert_eq!(begin(store, &file(5, 1, 18)), Begun::Uploads);
    assert_eq!(ready(store.forget(Millis(DAY + 10))), Ok(0), "it counts for a day");
    assert_eq!(begin(store, &file(5, 1, DAY + 9)), Begun::Uploads);
    assert_eq!(begin(store, &file(5, 1, DAY + 10)), Begun::Done);
    assert_eq!(get(store, 2).map(|media| (media.state, media.emptied)), Some((MediaState::Rejected, true)));
    assert_eq!(ready(store.forget(Millis(DAY + 11))), Ok(1));
    assert_eq!(get(store, 2), None);
    assert_eq!(ready(store.usage(user(1), Millis(3 * DAY))).expect("readable").uploads, 0);
    assert_eq!(ready(store.usage(user(7), Millis(1))), Ok(Usage::default()));
}

/// A file goes forward only, and comes back as it was put.
pub fn a_file_goes_forward_only<S: MediaStore>(store: &mut S) {
    assert_eq!(settle(store, 1, Settled::Rejected(Rejection::Damaged), 1), None);
    let new = file(1, 100, 10);
    begin(store, &new);
    assert_eq!(get(store, 1), Some(new.clone()));
    let scanning =
        Media { facts: facts(90), state: MediaState::Scanning, changed: Millis(20), ..new.clone() };
    assert_eq!(settle(store, 1, Settled::Scanning(facts(90)), 20), Some(scanning.clone()));
    assert_eq!(settle(store, 1, Settled::Scanning(facts(80)), 21), Some(scanning.clone()), "once");
    assert_eq!(ready(store.scanning(Millis(20), 10)), Ok(Vec::new()));
    assert_eq!(ready(store.scanning(Millis(21), 10)), Ok(vec![scanning]));
    let done = settle(store, 1, Settled::Ready(facts(90)), 30).expect("there");
    assert_eq!((done.state, done.changed), (MediaState::Ready, Millis(30)));
    assert_eq!(
        settle(store, 1, Settled::Rejected(Rejection::Damaged), 31),
        Some(done),
        "what is ready stays ready"
    );
    begin(store, &file(2, 100, 11));
    settle(store, 2, Settled::Scanning(facts(100)), 12);
    let refused = settle(store, 2, Settled::Rejected(Rejection::Damaged), 13).expect("there");
    assert_eq!((refused.state, refused.rejection()), (MediaState::Rejected, Some(Rejection::Damaged)));
    assert_eq!(refused.facts, MediaFacts { thumbnails: Rejection::Damaged as u8, ..facts(100) });
    assert_eq!(settle(store, 2, Settled::Ready(facts(1)), 14), Some(refused.clone()));
    assert_eq!(ready(store.doomed(10)), Ok(vec![refused]));
    let ids = ready(store.media(&[id(2), id(8), id(1)])).expect("readable");
    assert_eq!(ids.iter().map(|media| media.id).collect::<Vec<_>>(), [id(2), id(1)], "in the order asked");
    let own = |after| {
        let page = ready(store.of_owner(user(1), after, 1)).expect("readable");
        page.first().map(|media| media.id)
    };
    assert_eq!((own(MediaId::NIL), own(id(1))), (Some(id(1)), None));
}

/// Files are attached together or not at all, once, by their owner, in their room.
pub fn a_file_is_attached_once<S: MediaStore>(store: &mut S) {
    stored(store, &file(1, 10, 1), 5);
    stored(store, &file(2, 10, 1), 5);
    awaited(store, &file(3, 10, 1));
    stored(store, &Media { room: RoomId([0x71; 16]), ..file(4, 10, 1) }, 5);
    let refused = |store: &mut S, attach: &Attach| match ready(store.attach(attach)).expect("answers") {
        AttachOutcome::Refused(id, why) => (id, why),
        AttachOutcome::Done(done) => panic!("{done:?}"),
    };
    let unknown = NotAttached::Unknown;
    assert_eq!(refused(store, &attach(&[1, 9], 1, ROOM, 1, 7)), (id(9), unknown));
    assert_eq!(refused(store, &attach(&[1, 4], 1, ROOM, 1, 7)), (id(4), unknown), "of another room");
    assert_eq!(refused(store, &attach(&[1], 2, ROOM, 1, 7)), (id(1), unknown), "of somebody else");
    assert_eq!(refused(store, &attach(&[1, 3], 1, ROOM, 1, 7)), (id(3), NotAttached::NotReady));
    assert_eq!(get(store, 1).expect("there").attached, None, "nothing was attached");
    let avatar = Attach { purpose: Purpose::RoomAvatar, ..attach(&[1], 1, ROOM, 1, 7) };
    assert_eq!(refused(store, &avatar), (id(1), unknown), "it was uploaded for something else");
    let both = attach(&[2, 1], 1, ROOM, 1, 7);
    let AttachOutcome::Done(done) = ready(store.attach(&both)).expect("attaches") else { panic!("refused") };
    assert_eq!(done.iter().map(|media| media.id).collect::<Vec<_>>(), [id(2), id(1)]);
    let attached = Some(Attached { key: Key([1; 16]), at: Millis(7) });
    assert!(done.iter().all(|media| media.attached == attached));
    let later = Attach { at: Millis(9), ..both };
    assert_eq!(ready(store.attach(&later)), Ok(AttachOutcome::Done(done)), "the same key again");
    assert_eq!(refused(store, &attach(&[1], 1, ROOM, 2, 8)), (id(1), NotAttached::Used));
    assert_eq!(ready(store.release(&[id(1), id(9)], Millis(10))), Ok(1));
    assert_eq!(ready(store.release(&[id(1)], Millis(11))), Ok(0));
    assert_eq!(refused(store, &attach(&[1], 1, ROOM, 1, 12)), (id(1), NotAttached::Gone));
    assert_eq!(ready(store.attach(&attach(&[], 1, ROOM, 3, 12))), Ok(AttachOutcome::Done(Vec::new())));
}

/// What is released, or was left over, is doomed; its row goes after its bytes.
pub fn what_nobody_needs_is_doomed<S: MediaStore>(store: &mut S) {
    for n in 1..=4 {
        stored(store, &file(n, 10, 100), 110);
    }
    stored(store, &Media { room: RoomId::NIL, purpose: Purpose::Avatar, ..file(5, 10, 100) }, 110);
    stored(store, &Media { purpose: Purpose::RoomAvatar, ..file(6, 10, 100) }, 110);
    stored(store, &Media { owner: user(2), room: RoomId([0x72; 16]), ..file(7, 10, 100) }, 110);
    awaited(store, &file(8, 10, 100));
    for (n, at) in [(1, 120), (2, 130), (6, 120)] {
        let purpose = if n == 6 { Purpose::RoomAvatar } else { Purpose::Attachment };
        let asked = Attach { purpose, ..attach(&[n], 1, ROOM, n, at) };
        let done = ready(store.attach(&asked)).expect("attaches");
        assert!(matches!(done, AttachOutcome::Done(_)));
    }
    let over = |store: &S| {
        let doomed = ready(store.doomed(100)).expect("readable");
        doomed.iter().map(|media| media.id.0[0]).collect::<Vec<_>>()
    };
    assert_eq!(ready(store.release_room(RoomId::NIL, Millis(200))), Ok(0), "the nil room is none");
    assert_eq!(ready(store.has_files(ROOM)), Ok(true));
    assert_eq!(ready(store.has_files(RoomId([0x72; 16]))), Ok(false), "it is in no message");
    ready(store.leave(ROOM, &[id(1), id(3), id(6)], Seq(9))).expect("notes");
    ready(store.leave(RoomId([0x72; 16]), &[id(2), id(7)], Seq(9))).expect("notes");
    assert_eq!(ready(store.has_files(ROOM)), Ok(true), "one is not noted");
    ready(store.leave(ROOM, &[id(1), id(9)], Seq(8))).expect("notes");
    assert_eq!(get(store, 1).and_then(|media| media.leaves), Some(Seq(9)), "the first note stays");
    assert_eq!(ready(store.release_left(ROOM, Seq(8), Millis(200))), Ok(0), "its message stands");
    assert_eq!(ready(store.release_left(RoomId([0x72; 16]), Seq(9), Millis(200))), Ok(0));
    assert_eq!(ready(store.release_left(ROOM, Seq(9), Millis(200))), Ok(1));
    assert_eq!(ready(store.release_left(ROOM, Seq(9), Millis(200))), Ok(0));
    assert_eq!(over(store), [1], "of messages only, not the picture of the room");
    assert_eq!(ready(store.doom_orphans(Millis(100), Millis(110), Millis(200))), Ok(0));
    assert_eq!(ready(store.doom_orphans(Millis(101), Millis(110), Millis(200))), Ok(1));
    assert_eq!(over(store), [1, 8]);
    assert_eq!(ready(store.doomed(1)).expect("readable").len(), 1);
    ready(store.release(&[id(3)], Millis(201))).expect("releases");
    ready(store.leave(ROOM, &[id(2)], Seq(12))).expect("notes");
    assert_eq!(ready(store.has_files(ROOM)), Ok(false), "all are noted");
    assert_eq!(ready(store.release_room(ROOM, Millis(202))), Ok(3));
    assert_eq!(ready(store.release_room(ROOM, Millis(202))), Ok(0));
    assert_eq!(over(store), [1, 2, 3, 4, 6, 8]);
    ready(store.emptied(&[id(1), id(2), id(5)])).expect("empties");
    assert_eq!(over(store), [3, 4, 6, 8]);
    assert!(!get(store, 5).expect("there").emptied, "what is not over is not empty");
    assert_eq!(ready(store.doom_orphans(Millis(0), Millis(111), Millis(203))), Ok(2), "nobody used them");
    assert_eq!(ready(store.release_owner(user(1), Millis(204))), Ok(0));
    awaited(store, &file(10, 10, 204));
    assert_eq!(ready(store.release_owner(user(1), Millis(204))), Ok(1));
    assert_eq!(over(store), [3, 4, 5, 6, 7, 8, 10]);
    assert_eq!(ready(store.forget(Millis(100 + DAY))), Ok(2));
    assert_eq!((get(store, 1), get(store, 2)), (None, None));
}

/// Where the message of files is can be noted, by its key alone; files of messages are told page by page until they are over.
pub fn a_file_knows_its_message<S: MediaStore>(store: &mut S) {
    (1..=4).for_each(|n| stored(store, &file(n, 10, 100), 110));
    stored(store, &Media { purpose: Purpose::RoomAvatar, ..file(5, 10, 100) }, 110);
    for (ids, key) in [(&[1, 2][..], 1), (&[3], 2)] {
        let done = ready(store.attach(&attach(ids, 1, ROOM, key, 120))).expect("answers");
        assert!(matches!(done, AttachOutcome::Done(_)));
    }
    let picture = Attach { purpose: Purpose::RoomAvatar, ..attach(&[5], 1, ROOM, 1, 120) };
    assert!(matches!(ready(store.attach(&picture)), Ok(AttachOutcome::Done(_))));
    let told = |store: &S, unknown: bool, after: u8, limit: u32| {
        let after = if after == 0 { MediaId::NIL } else { id(after) };
        let page = ready(store.attached(unknown, after, limit)).expect("readable");
        page.iter().map(|media| (media.id.0[0], media.seq.map(|seq| seq.0))).collect::<Vec<_>>()
    };
    assert_eq!(told(store, true, 0, 10), [(1, None), (2, None), (3, None)], "not what is in no message");
    assert_eq!(told(store, true, 1, 1), [(2, None)]);
    let high = Seq(1 << 40);
    for (room, key, ids) in [(RoomId([0x71; 16]), 1, &[1][..]), (ROOM, 2, &[1, 2]), (ROOM, 1, &[3, 4, 5, 9])]
    {
        let ids: Vec<_> = ids.iter().map(|n| id(*n)).collect();
        ready(store.posted(room, Key([key; 16]), &ids, Seq(7))).expect("answers");
    }
    assert_eq!(told(store, false, 0, 10), [(1, None), (2, None), (3, None)], "by the key of its own room");
    assert_eq!(get(store, 5).and_then(|media| media.seq), None, "a picture is in no message");
    ready(store.posted(ROOM, Key([1; 16]), &[id(1), id(2)], high)).expect("notes");
    assert_eq!(told(store, true, 0, 10), [(3, None)]);
    assert_eq!(told(store, false, 0, 10), [(1, Some(high.0)), (2, Some(high.0)), (3, None)]);
    ready(store.release(&[id(1), id(3)], Millis(200))).expect("releases");
    assert_eq!((told(store, true, 0, 10), told(store, false, 0, 10)), (vec![], vec![(2, Some(high.0))]));
    ready(store.posted(ROOM, Key([2; 16]), &[id(3)], high)).expect("answers");
    assert_eq!(get(store, 3).and_then(|media| media.seq), None, "it is over");
}

/// A room and an account have one picture each: those that they had are doomed, what was only uploaded is not, and a picture of a room
/// outlives the account that uploaded it.
pub fn a_picture_takes_the_place_of_another<S: MediaStore>(store: &mut S) {
    let (room, account) = (PictureOf::Room(ROOM), PictureOf::Account(user(1)));
    let take = |store: &mut S, n: u8, of: PictureOf| {
        let attach = Attach {
            ids: vec![id(n)],
            owner: user(1),
            room: of.room(),
            purpose: of.purpose(),
            key: of.key(),
            at: Millis(120),
        };
        ready(store.attach(&attach)).expect("answers")
    };
    for n in 1..=4 {
        stored(store, &Media { purpose: Purpose::RoomAvatar, ..file(n, 10, 100) }, 110);
        let own = Media { room: RoomId::NIL, purpose: Purpose::Avatar, ..file(0x10 + n, 10, 100) };
        stored(store, &own, 110);
    }
    stored(store, &file(9, 10, 100), 110);
    assert!(matches!(take(store, 0x11, room), AttachOutcome::Refused(_, NotAttached::Unknown)));
    assert!(matches!(take(store, 1, account), AttachOutcome::Refused(_, NotAttached::Unknown)));
    assert!(matches!(take(store, 9, room), AttachOutcome::Refused(_, NotAttached::Unknown)));
    for n in [1, 2, 3, 2] {
        assert!(matches!(take(store, n, room), AttachOutcome::Done(_)), "also again");
        assert!(matches!(take(store, 0x10 + n, account), AttachOutcome::Done(_)));
    }
    let over = |store: &S| {
        let doomed = ready(store.doomed(100)).expect("readable");
        doomed.iter().map(|media| media.id.0[0]).collect::<Vec<_>>()
    };
    assert_eq!(
        ready(store.keep_picture(PictureOf::Room(RoomId([0x71; 16])), MediaId::NIL, Millis(200))),
        Ok(0)
    );
    assert_eq!(ready(store.keep_picture(PictureOf::Account(user(2)), MediaId::NIL, Millis(200))), Ok(0));
    assert_eq!(ready(store.keep_picture(room, id(2), Millis(200))), Ok(2));
    assert_eq!(over(store), [1, 3]);
    assert_eq!(ready(store.keep_picture(account, id(0x13), Millis(200))), Ok(2));
    assert_eq!(over(store), [1, 3, 0x11, 0x12]);
    assert_eq!(ready(store.keep_picture(account, id(0x13), Millis(201))), Ok(0));
    assert_eq!(ready(store.keep_picture(account, MediaId::NIL, Millis(201))), Ok(1));
    assert!(matches!(take(store, 0x13, account), AttachOutcome::Refused(_, NotAttached::Gone)));
    assert_eq!(ready(store.release_owner(user(1), Millis(202))), Ok(3));
    assert_eq!(over(store), [1, 3, 4, 9, 0x11, 0x12, 0x13, 0x14], "the room keeps its picture");
    assert_eq!(ready(store.keep_picture(room, MediaId::NIL, Millis(203))), Ok(1));
}

fn some_of_everything<S: MediaStore>(store: &mut S) {
    a_file_is_attached_once(store);
    stored(store, &Media { room: RoomId::NIL, purpose: Purpose::Avatar, ..file(0x20, 10, 100) }, 110);
    ready(store.leave(ROOM, &[id(2)], Seq(1 << 40))).expect("notes");
    ready(store.posted(ROOM, Key([1; 16]), &[id(2)], Seq(1 << 39))).expect("notes");
    ready(store.emptied(&[id(1)])).expect("empties");
}

fn more_of_everything<S: MediaStore>(store: &mut S) {
    stored(store, &file(0x30, 30, 300), 310);
    settle(store, 3, Settled::Scanning(facts(7)), 320);
    ready(store.release(&[id(0x20)], Millis(321))).expect("releases");
    ready(store.forget(Millis(2 * DAY))).expect("forgets");
}

/// Media that are filled from the reference are dumped as they were filled, and go on as the reference does. The store must be empty.
pub fn filled_media_equal_their_source<S: MediaStore + MediaFill, D: MediaDump>(
    store: &mut S,
    snapshot: impl Fn(&S) -> D,
) {
    let mut source = MemoryMedia::default();
    some_of_everything(&mut source);
    for _ in 0..2 {
        ready(copy(&mut source, store, 2)).expect("copies");
    }
    let expected = all_rows(&mut source);
    assert_eq!(expected.len(), 5);
    let mut before = snapshot(store);
    assert_eq!(all_rows(&mut before), expected);
    let mut back = MemoryMedia::default();
    ready(copy(&mut before, &mut back, 2)).expect("copies");
    assert_eq!(back, source);
    more_of_everything(&mut source);
    more_of_everything(store);
    assert_eq!(all_rows(&mut before), expected, "a snapshot stays");
    assert_eq!(all_rows(&mut snapshot(store)), all_rows(&mut source));
}

/// What changes in media after they were copied is brought over row by row. The store must be empty.
pub fn filled_media_follow_their_source<S: MediaStore + MediaFill, D: MediaDump>(
    store: &mut S,
    snapshot: impl Fn(&S) -> D,
) {
    let mut source = MemoryMedia::default();
    some_of_everything(&mut source);
    ready(copy(&mut source, store, 2)).expect("copies");
    let mut before = source.clone();
    more_of_everything(&mut source);
    follow(store, &mut before, &mut source);
    assert_eq!(all_rows(&mut snapshot(store)), all_rows(&mut source));
}
