//! Files of messages: the store hands them to a message before it is ordered, and gets them back when it is deleted or removed for its age.
//! And pictures of rooms: the store hands one to a room before its settings name it, and gets those back that they named before.
//!
//! Thread: the shard. A `send` with files is checked first, so that files are asked for only when nothing else stands against the message;
//! meanwhile the connection's next commands to the room wait, as they do while a key is looked up. The answer is kept with the key, so a retry
//! gets the same files. Limits: one question for each connection and room, `store_requests_in_flight_max` in all; [`RELEASES_MAX`] files
//! wait to be given back. What can fail: the store, which the sender is told; files that cannot be given back are tried again. When the process
//! ends, those of removed messages are found by the next look for old ones, those of deleted messages and of messages that never came by later looks
//! at files. Nobody reads them meanwhile: who reads is shown the message.

use std::collections::VecDeque;

use lynk_domain::{Key, Lsn, MediaId, Nanos, RoomId, Seq};
use lynk_model::{AttachRefusal, Parts, StoreReply, StoreRequest};
use lynk_protocol::{ErrorCode, Reject};

use super::books::{Ask, Books, Found, Held, Pending, Timer, store_reject};
use super::change::Target;
use super::room::Room;
use crate::context::Context;

/// Files of deleted messages of a shard that wait to be given back; more are left to the end of their room or owner.
const RELEASES_MAX: usize = 16_384;
/// Files that are given back at a time.
const RELEASED_AT_A_TIME: usize = 64;
/// Deletes gather for this long, and a store that did not take files is asked again after it.
const RELEASE_NANOS: u64 = Nanos::SECOND;
/// When to come back for a file that is still looked at.
const READY_RETRY_MILLIS: u32 = 1_000;

/// A `send` that waits for its files.
#[derive(Debug)]
pub(super) struct AttachWait {
    held: Held,
    /// The message it answers; 0 for none.
    reply_to: Seq,
    /// The room's top when the store was asked.
    top: Seq,
}

/// A `delete` that waits until it is noted that files leave.
#[derive(Debug)]
pub(super) struct LeaveWait {
    held: Held,
    target: Seq,
    before: Target,
    /// The room's top when the store was asked.
    top: Seq,
}

/// What is to be given back of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gone {
    /// The file of a deleted message.
    File(MediaId),
    /// Files that leave with messages up to here.
    Through(Seq),
}

/// Files that are in no message any more, each with the record of its delete or removal.
#[derive(Debug, Default)]
pub(super) struct Releases {
    waiting: VecDeque<(Lsn, RoomId, Gone)>,
    /// How many of the first the store is being asked to take.
    asked: usize,
    /// A timer is set.
    armed: bool,
}

impl Books {
    /// Asks for the files of a message; the command goes on in [`Self::attached`].
    pub(super) fn ask_files(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        key: Key,
        (files, reply_to): (&[MediaId], Seq),
    ) {
        if !self.may_ask(cx) {
            return self.refuse(cx, room, ask, Reject::after(ErrorCode::Busy, 100));
        }
        room.engage(ask.from);
        let request = StoreRequest::Attach { room: room.id, owner: ask.user, key, files: files.to_vec() };
        let wait = AttachWait { held: ask.hold(), reply_to, top: room.top };
        self.ask(cx, room, request, Pending::Files(Box::new(wait)));
    }

    /// Asks for the picture that a command gives the room; the command goes on in [`Self::attached`].
    pub(super) fn ask_picture(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        picture: MediaId,
    ) {
        if !self.may_ask(cx) || !room.metadata.takes_pictures() {
            return self.refuse(cx, room, ask, Reject::after(ErrorCode::Busy, 100));
        }
        room.engage(ask.from);
        let request = StoreRequest::TakePicture { room: room.id, owner: ask.user, picture };
        let wait = AttachWait { held: ask.hold(), reply_to: Seq(0), top: room.top };
        self.ask(cx, room, request, Pending::Files(Box::new(wait)));
    }

    pub(super) fn attached(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        wait: AttachWait,
        reply: StoreReply,
    ) {
        let AttachWait { held, reply_to, top } = wait;
        room.disengage(held.from);
        room.metadata.looked(held.from);
        let reject = match reply {
            // What was found out about the message that it answers may hold no longer.
            StoreReply::Attached(Ok(_)) if reply_to > Seq(0) && room.window.changed_since(top, reply_to) => {
                Reject::after(ErrorCode::Busy, 100)
            }
            StoreReply::Attached(Ok(files)) => return self.run_held(cx, room, &held, Found::Files(files)),
            StoreReply::Attached(Err(AttachRefusal::NotReady)) => {
                Reject::after(ErrorCode::AttachmentNotReady, READY_RETRY_MILLIS)
            }
            StoreReply::Attached(Err(_)) => ErrorCode::AttachmentNotFound.into(),
            StoreReply::Failed(error) => store_reject(error),
            _ => ErrorCode::Internal.into(),
        };
        self.refuse_held(cx, room, &held, reject);
    }

    /// Tells the store where a message with files is, once its record is committed: by that it is known who may read them, and whether it
    /// stands. What is not told, because the store is asked for too much or the process ends, is found by a later look at files.
    pub(super) fn tell_posted(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        key: Key,
        (seq, lsn): (Seq, Lsn),
        parts: &Parts,
    ) {
        if self.may_ask(cx) {
            room.requests += 1;
            let request = StoreRequest::Posted { room: room.id, key, files: parts.media().collect(), seq };
            self.ask_after(cx, lsn, room.id, request, Pending::Posted);
        }
    }

    /// Notes that the files of the message at `target` leave with it, before it is deleted: what waits to be given back is in memory, and would
    /// be read for ever when the process ends before it is. The command goes on in [`Self::leaving`].
    pub(super) fn ask_leave(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room,
        ask: &Ask<'_>,
        target: Seq,
        before: Target,
    ) {
        if !self.may_ask(cx) {
            return self.refuse(cx, room, ask, Reject::after(ErrorCode::Busy, 100));
        }
        room.engage(ask.from);
        let files = before.parts.media().collect();
        let request = StoreRequest::Leave { room: room.id, files, to: target };
        let wait = LeaveWait { held: ask.hold(), target, before, top: room.top };
        self.ask(cx, room, request, Pending::Leave(Box::new(wait)));
    }

    /// Whoever keeps files may be away, which keeps nobody from deleting what was said.
    pub(super) fn leaving(&mut self, cx: &mut Context<'_>, room: &mut Room, wait: LeaveWait) {
        let LeaveWait { held, target, before, top } = wait;
        room.disengage(held.from);
        if room.window.changed_since(top, target) {
            return self.refuse_held(cx, room, &held, Reject::after(ErrorCode::Busy, 100));
        }
        self.run_held(cx, room, &held, Found::Leaving(before));
    }

    /// Gives back the files of a message whose delete has the record `after`.
    pub(super) fn let_go(
        &mut self,
        cx: &Context<'_>,
        (room, after): (RoomId, Lsn),
        files: impl Iterator<Item = MediaId>,
    ) {
        let room_left = RELEASES_MAX.saturating_sub(self.releases.waiting.len());
        self.releases.waiting.extend(files.take(room_left).map(|file| (after, room, Gone::File(file))));
        self.arm_release(cx);
    }

    /// Gives back the files that leave with a room's messages up to `to`, whose removal has the record `after`. What has no place here is
    /// given back by the next look for old messages.
    pub(super) fn let_pass(&mut self, cx: &Context<'_>, (room, after): (RoomId, Lsn), to: Seq) {
        if self.releases.waiting.len() < RELEASES_MAX {
            self.releases.waiting.push_back((after, room, Gone::Through(to)));
            self.arm_release(cx);
        }
    }

    fn arm_release(&mut self, cx: &Context<'_>) {
        let Releases { waiting, asked, armed } = &mut self.releases;
        if !waiting.is_empty() && *asked == 0 && !std::mem::replace(armed, true) {
            self.wheel.insert(cx.now.mono.after(RELEASE_NANOS), Timer::Release);
        }
    }

    /// Asks the store to take back what waits first, if its record is committed: a removal, or files of deletes in one room.
    pub(super) fn release_files(&mut self, cx: &mut Context<'_>) {
        let committed = cx.shared.committed;
        self.releases.armed = false;
        let first = self.releases.waiting.front().copied().filter(|(after, ..)| *after <= committed);
        if let (Some((_, room, gone)), 0) = (first, self.releases.asked)
            && self.may_ask(cx)
        {
            let request = match gone {
                Gone::Through(floor) => {
                    self.releases.asked = 1;
                    StoreRequest::Passed { room, floor }
                }
                Gone::File(_) => {
                    let file = |(after, of, gone): &(Lsn, RoomId, Gone)| match gone {
                        Gone::File(file) if *of == room && *after <= committed => Some(*file),
                        _ => None,
                    };
                    let waiting = self.releases.waiting.iter().take(RELEASED_AT_A_TIME);
                    let files: Vec<MediaId> = waiting.map_while(file).collect();
                    self.releases.asked = files.len();
                    StoreRequest::Release { room, files }
                }
            };
            return self.request(cx, RoomId::NIL, request, Pending::Release);
        }
        self.arm_release(cx);
    }

    pub(super) fn released(&mut self, cx: &mut Context<'_>, reply: &StoreReply) {
        let asked = std::mem::take(&mut self.releases.asked);
        if matches!(reply, StoreReply::Released) {
            self.releases.waiting.drain(..asked);
            self.release_files(cx);
        } else {
            self.arm_release(cx);
        }
    }
}
