//! Dumping and filling rooms.
//!
//! Thread: that of whoever copies. A page is filled in one transaction, its statements sent one after the other without waiting. What can fail:
//! see [`Fault`].

use futures_util::future::try_join_all;
use lynk_domain::{Key, Millis, RoomId, Seq, UserId};
use lynk_model::dump::{DumpPage, RoomsMark, RoomsRow};
use lynk_model::port::{Dump, Fill, LastFault, StoreFault};
use lynk_model::{DirectFrom, LoadedRoom, Report, StoreError};
use tokio_postgres::Row;
use uuid::Uuid;

use super::change::{put_direct_from, put_row};
use super::{PostgresRooms, asking, links, load, moderation, reports, strangers};
use crate::Fault;
use crate::column::{bits, get, id, known, number, uuid};
use crate::database::{Held, Session, Verdict, count};

/// Rooms as they were at one moment, while others go on. It takes a connection of the pool, and keeps the server from cleaning up what is newer.
pub struct RoomsSnapshot(Held);

impl PostgresRooms {
    /// The rooms as they are now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn snapshot(&self) -> Result<RoomsSnapshot, StoreError> {
        self.database.noted(self.database.hold("SELECT 1 FROM rooms.rooms LIMIT 1").await).map(RoomsSnapshot)
    }
}

impl LastFault for RoomsSnapshot {
    fn last_fault(&self) -> Option<StoreFault> {
        self.0.take_fault().map(StoreFault::from)
    }
}

type Rows = Vec<(RoomsRow, RoomsMark)>;

impl Dump for RoomsSnapshot {
    type Row = RoomsRow;

    async fn rows(
        &mut self,
        mark: &RoomsMark,
        limit: u32,
    ) -> Result<DumpPage<RoomsRow, RoomsMark>, StoreError> {
        let rows = self.0.read(async |session| page(session, mark, i64::from(limit)).await).await?;
        Ok(DumpPage::at(mark, rows, limit))
    }

    async fn find(&mut self, rows: &[RoomsRow]) -> Result<Vec<RoomsRow>, StoreError> {
        let found =
            self.0.read(async |session| try_join_all(rows.iter().map(|row| under_key(session, row))).await);
        Ok(found.await?.into_iter().flatten().collect())
    }

    async fn count(&mut self) -> Result<u64, StoreError> {
        let tables = [
            "rooms.rooms",
            "rooms.names",
            "rooms.blocks",
            "rooms.results",
            "rooms.hidden",
            "rooms.direct_from",
            "rooms.moderation",
            "rooms.reports",
        ];
        count(&self.0, &tables).await
    }
}

async fn page(session: &Session, mark: &RoomsMark, limit: i64) -> Result<Rows, Fault> {
    let rows = match mark {
        RoomsMark::Rooms(after) => return rooms(session, *after, limit).await,
        RoomsMark::Reports(room, number) => {
            let found = reports::after(session, *room, *number, limit).await?;
            let row = |report: Report| {
                let mark = RoomsMark::Reports(report.room, report.number);
                (RoomsRow::Report(Box::new(report)), mark)
            };
            return Ok(found.into_iter().map(row).collect());
        }
        RoomsMark::Names(after) => {
            let sql = "SELECT digest, folded, room, freed FROM rooms.names
                WHERE digest > $1 ORDER BY digest LIMIT $2";
            session.rows(sql, &[&after.as_slice(), &limit]).await?
        }
        RoomsMark::Blocks(by, user) => {
            let sql = "SELECT by_user, user_id, room FROM rooms.blocks
                WHERE (by_user, user_id) > ($1, $2) ORDER BY by_user, user_id LIMIT $3";
            session.rows(sql, &[&uuid(by.0), &uuid(user.0), &limit]).await?
        }
        RoomsMark::Results(actor, room, key) => {
            let sql = "SELECT actor, room, key, content_hash, version, seq, wall FROM rooms.results
                WHERE (actor, room, key) > ($1, $2, $3) ORDER BY actor, room, key LIMIT $4";
            session.rows(sql, &[&uuid(actor.0), &uuid(room.0), &uuid(key.0), &limit]).await?
        }
        RoomsMark::Hidden(after) => {
            let sql = "SELECT user_id FROM rooms.hidden WHERE user_id > $1 ORDER BY user_id LIMIT $2";
            session.rows(sql, &[&uuid(after.0), &limit]).await?
        }
        RoomsMark::DirectFrom(after) => {
            let sql =
                "SELECT user_id, who FROM rooms.direct_from WHERE user_id > $1 ORDER BY user_id LIMIT $2";
            session.rows(sql, &[&uuid(after.0), &limit]).await?
        }
        RoomsMark::Acts(room, number) => {
            let sql = "SELECT room, number, at, by_user, kind, subject, value, reason FROM rooms.moderation
                WHERE (room, number) > ($1, $2) ORDER BY room, number LIMIT $3";
            session.rows(sql, &[&uuid(room.0), &bits(*number), &limit]).await?
        }
    };
    rows.iter().map(|row| one(mark, row)).collect()
}

fn one(mark: &RoomsMark, row: &Row) -> Result<(RoomsRow, RoomsMark), Fault> {
    Ok(match mark {
        RoomsMark::Reports(..) => {
            let report = reports::report(row)?;
            let mark = RoomsMark::Reports(report.room, report.number);
            (RoomsRow::Report(Box::new(report)), mark)
        }
        RoomsMark::Rooms(_) | RoomsMark::Names(_) => {
            let (digest, folded, freed): (&[u8], String, Option<i64>) =
                (get(row, 0)?, get(row, 1)?, get(row, 3)?);
            let (room, freed) = (RoomId(id(row, 2)?), freed.map(|at| Millis(at.cast_unsigned())));
            (RoomsRow::Name { folded, room, freed }, RoomsMark::Names(digest.to_vec()))
        }
        RoomsMark::Blocks(..) => {
            let (by, user, room) = (UserId(id(row, 0)?), UserId(id(row, 1)?), RoomId(id(row, 2)?));
            (RoomsRow::Block { by, user, room }, RoomsMark::Blocks(by, user))
        }
        RoomsMark::Results(..) => {
            let (actor, room, key) = (UserId(id(row, 0)?), RoomId(id(row, 1)?), Key(id(row, 2)?));
            let result = RoomsRow::Result {
                actor,
                room,
                key,
                content_hash: number(row, 3)?,
                version: number(row, 4)?,
                seq: Seq(number(row, 5)?),
                wall: Millis(number(row, 6)?),
            };
            (result, RoomsMark::Results(actor, room, key))
        }
        RoomsMark::Hidden(_) => {
            let user = UserId(id(row, 0)?);
            (RoomsRow::Hidden { user }, RoomsMark::Hidden(user))
        }
        RoomsMark::DirectFrom(_) => {
            let (user, from) = (UserId(id(row, 0)?), known(row, 1, DirectFrom::from_u8)?);
            (RoomsRow::DirectFrom { user, from }, RoomsMark::DirectFrom(user))
        }
        RoomsMark::Acts(..) => {
            let (room, act) = (RoomId(id(row, 0)?), moderation::act(row, 1)?);
            let mark = RoomsMark::Acts(room, act.number);
            (RoomsRow::Act { room, act }, mark)
        }
    })
}

/// The row that is there under the key of another.
async fn under_key(session: &Session, row: &RoomsRow) -> Result<Option<RoomsRow>, Fault> {
    let (of, found) = match row {
        RoomsRow::Room(loaded) => {
            let room = loaded.row.as_ref().map_or(RoomId::NIL, |row| row.room);
            let there = LoadedRoom { blocks: Vec::new(), ..load::room_in(session, room).await? };
            return Ok(there.row.is_some().then(|| RoomsRow::Room(Box::new(there))));
        }
        RoomsRow::Name { folded, .. } => {
            let sql = "SELECT digest, folded, room, freed FROM rooms.names WHERE digest = sha256($1)";
            (RoomsMark::Names(Vec::new()), session.row(sql, &[&folded.as_bytes()]).await?)
        }
        RoomsRow::Block { by, user, .. } => {
            let sql = "SELECT by_user, user_id, room FROM rooms.blocks WHERE by_user = $1 AND user_id = $2";
            (RoomsMark::Blocks(*by, *user), session.row(sql, &[&uuid(by.0), &uuid(user.0)]).await?)
        }
        RoomsRow::Result { actor, room, key, .. } => {
            let sql = "SELECT actor, room, key, content_hash, version, seq, wall FROM rooms.results
                WHERE actor = $1 AND room = $2 AND key = $3";
            let found = session.row(sql, &[&uuid(actor.0), &uuid(room.0), &uuid(key.0)]).await?;
            (RoomsMark::Results(*actor, *room, *key), found)
        }
        RoomsRow::Hidden { user } => {
            let sql = "SELECT user_id FROM rooms.hidden WHERE user_id = $1";
            (RoomsMark::Hidden(*user), session.row(sql, &[&uuid(user.0)]).await?)
        }
        RoomsRow::DirectFrom { user, .. } => {
            let sql = "SELECT user_id, who FROM rooms.direct_from WHERE user_id = $1";
            (RoomsMark::DirectFrom(*user), session.row(sql, &[&uuid(user.0)]).await?)
        }
        RoomsRow::Report(report) => {
            let there = reports::one(session, report.room, report.number).await?;
            return Ok(there.map(|there| RoomsRow::Report(Box::new(there))));
        }
        RoomsRow::Act { room, act } => {
            let sql = "SELECT room, number, at, by_user, kind, subject, value, reason FROM rooms.moderation
                WHERE room = $1 AND number = $2";
            let found = session.row(sql, &[&uuid(room.0), &bits(act.number)]).await?;
            (RoomsMark::Acts(*room, act.number), found)
        }
    };
    Ok(found.map(|row| one(&of, &row)).transpose()?.map(|(row, _)| row))
}

async fn rooms(session: &Session, after: RoomId, limit: i64) -> Result<Rows, Fault> {
    let sql = "SELECT room FROM rooms.rooms WHERE room > $1 ORDER BY room LIMIT $2";
    let mut found = Vec::new();
    for row in session.rows(sql, &[&uuid(after.0), &limit]).await? {
        let room = RoomId(id(&row, 0)?);
        let loaded = LoadedRoom { blocks: Vec::new(), ..load::room_in(session, room).await? };
        found.push((RoomsRow::Room(Box::new(loaded)), RoomsMark::Rooms(room)));
    }
    Ok(found)
}

impl Fill for PostgresRooms {
    type Row = RoomsRow;

    async fn fill(&mut self, rows: &[RoomsRow]) -> Result<(), StoreError> {
        let filled = self.database.change(async |session| {
            try_join_all(rows.iter().map(|row| put(session, row))).await?;
            Ok(Verdict::Commit(()))
        });
        self.database.noted(filled.await)
    }

    async fn take_out(&mut self, rows: &[RoomsRow]) -> Result<(), StoreError> {
        let gone = self.database.change(async |session| {
            try_join_all(rows.iter().map(|row| take_out(session, row))).await?;
            Ok(Verdict::Commit(()))
        });
        self.database.noted(gone.await)
    }
}

async fn take_out(session: &Session, row: &RoomsRow) -> Result<(), Fault> {
    match row {
        // Nor may the role.
        RoomsRow::Room(_) | RoomsRow::Name { .. } => {
            return Err(Fault::corrupt("rooms and names are never taken out"));
        }
        RoomsRow::Block { by, user, .. } => {
            let sql = "DELETE FROM rooms.blocks WHERE by_user = $1 AND user_id = $2";
            session.execute(sql, &[&uuid(by.0), &uuid(user.0)]).await?
        }
        RoomsRow::Hidden { user } => {
            session.execute("DELETE FROM rooms.hidden WHERE user_id = $1", &[&uuid(user.0)]).await?
        }
        RoomsRow::DirectFrom { user, .. } => {
            return put_direct_from(session, *user, DirectFrom::Everyone).await;
        }
        RoomsRow::Report(report) => return reports::remove(session, report.room, report.number).await,
        RoomsRow::Act { room, act } => {
            let sql = "DELETE FROM rooms.moderation WHERE room = $1 AND number = $2";
            session.execute(sql, &[&uuid(room.0), &bits(act.number)]).await?
        }
        RoomsRow::Result { actor, room, key, .. } => {
            let sql = "DELETE FROM rooms.results WHERE actor = $1 AND room = $2 AND key = $3";
            session.execute(sql, &[&uuid(actor.0), &uuid(room.0), &uuid(key.0)]).await?
        }
    };
    Ok(())
}

async fn put(session: &Session, row: &RoomsRow) -> Result<(), Fault> {
    match row {
        RoomsRow::Room(loaded) => return put_room(session, loaded).await,
        RoomsRow::Name { folded, room, freed } => {
            let sql = "INSERT INTO rooms.names (digest, folded, room, freed) VALUES (sha256($1), $2, $3, $4)
                ON CONFLICT (digest) DO UPDATE SET folded = excluded.folded, room = excluded.room, freed = excluded.freed";
            let freed = freed.map(|at| bits(at.0));
            session.execute(sql, &[&folded.as_bytes(), folded, &uuid(room.0), &freed]).await?
        }
        RoomsRow::DirectFrom { user, from } => return put_direct_from(session, *user, *from).await,
        RoomsRow::Act { room, act } => return moderation::put(session, *room, act).await,
        RoomsRow::Report(report) => return reports::put(session, report).await,
        RoomsRow::Hidden { user } => {
            let sql = "INSERT INTO rooms.hidden (user_id) VALUES ($1) ON CONFLICT DO NOTHING";
            session.execute(sql, &[&uuid(user.0)]).await?
        }
        RoomsRow::Block { by, user, room } => {
            let sql = "INSERT INTO rooms.blocks (by_user, user_id, room) VALUES ($1, $2, $3)
                ON CONFLICT (by_user, user_id) DO UPDATE SET room = excluded.room";
            session.execute(sql, &[&uuid(by.0), &uuid(user.0), &uuid(room.0)]).await?
        }
        RoomsRow::Result { actor, room, key, content_hash, version, seq, wall } => {
            let sql = "INSERT INTO rooms.results (actor, room, key, content_hash, version, seq, wall)
                VALUES ($1, $2, $3, $4, $5, $6, $7)
                ON CONFLICT (actor, room, key) DO UPDATE SET content_hash = excluded.content_hash,
                    version = excluded.version, seq = excluded.seq, wall = excluded.wall";
            let ids = (uuid(actor.0), uuid(room.0), uuid(key.0));
            let numbers = (bits(*content_hash), bits(*version), bits(seq.0), bits(wall.0));
            session
                .execute(sql, &[&ids.0, &ids.1, &ids.2, &numbers.0, &numbers.1, &numbers.2, &numbers.3])
                .await?
        }
    };
    Ok(())
}

/// A room in place of what is there under its id. Its lists are sent as arrays: a room may have very many members.
async fn put_room(session: &Session, loaded: &LoadedRoom) -> Result<(), Fault> {
    let Some(row) = &loaded.row else { return Ok(()) };
    let room = uuid(row.room.0);
    put_row(session, row).await?;
    for table in ["members", "bans", "mutes", "pins", "links", "join_requests", "message_requests", "outbox"]
    {
        session.execute(&format!("DELETE FROM rooms.{table} WHERE room = $1"), &[&room]).await?;
    }
    if !loaded.members.is_empty() {
        let users: Vec<Uuid> = loaded.members.iter().map(|member| uuid(member.user.0)).collect();
        let roles: Vec<i16> = loaded.members.iter().map(|member| member.role as i16).collect();
        let versions: Vec<i64> = loaded.members.iter().map(|member| bits(member.joined_version)).collect();
        let seqs: Vec<i64> = loaded.members.iter().map(|member| bits(member.joined_seq.0)).collect();
        let own = || loaded.members.iter().map(|member| member.personal);
        let until: Vec<i64> = own().map(|own| bits(own.wish.muted_until.0)).collect();
        let wishes: Vec<i16> = own().map(|own| own.wish.wish as i16).collect();
        let cleared: Vec<i64> = own().map(|own| bits(own.cleared.0)).collect();
        let cleared_n: Vec<i64> = own().map(|own| bits(own.cleared_n.0)).collect();
        let sql = "INSERT INTO rooms.members
                (room, user_id, role, joined_version, joined_seq, muted_until, wish, cleared, cleared_n, by_stranger)
            SELECT $1, * FROM unnest($2::uuid[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::smallint[],
                $8::bigint[], $9::bigint[], $10::boolean[])";
        let added: Vec<bool> = loaded.members.iter().map(|member| member.by_stranger).collect();
        session
            .execute(
                sql,
                &[&room, &users, &roles, &versions, &seqs, &until, &wishes, &cleared, &cleared_n, &added],
            )
            .await?;
    }
    for (table, rows) in [("bans", &loaded.bans), ("mutes", &loaded.mutes)] {
        if rows.is_empty() {
            continue;
        }
        let users: Vec<Uuid> = rows.iter().map(|row| uuid(row.user.0)).collect();
        let until: Vec<i64> = rows.iter().map(|row| bits(row.until.0)).collect();
        let reasons: Vec<&str> = rows.iter().map(|row| row.reason.as_str()).collect();
        let by: Vec<Uuid> = rows.iter().map(|row| uuid(row.by.0)).collect();
        let at: Vec<i64> = rows.iter().map(|row| bits(row.at.0)).collect();
        let sql = format!(
            "INSERT INTO rooms.{table} (room, user_id, until, reason, by_user, at)
             SELECT $1, * FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::uuid[], $6::bigint[])"
        );
        session.execute(&sql, &[&room, &users, &until, &reasons, &by, &at]).await?;
    }
    if !loaded.pins.is_empty() {
        let seqs: Vec<i64> = loaded.pins.iter().map(|pin| bits(pin.0)).collect();
        let sql = "INSERT INTO rooms.pins (room, seq) SELECT $1, * FROM unnest($2::bigint[])";
        session.execute(sql, &[&room, &seqs]).await?;
    }
    for link in &loaded.links {
        links::put(session, row.room, link).await?;
    }
    for request in &loaded.requests {
        asking::put(session, row.room, request).await?;
    }
    if let Some(request) = &loaded.message_request {
        strangers::put(session, row.room, request).await?;
    }
    for waiting in &loaded.outbox {
        let mut event = Vec::new();
        waiting.event.encode(&mut event);
        let sql = "INSERT INTO rooms.outbox (room, version, actor, key, wall, event) VALUES ($1, $2, $3, $4, $5, $6)";
        let (actor, key) = (uuid(waiting.actor.0), uuid(waiting.key.0));
        let (version, wall) = (bits(waiting.version), bits(waiting.wall.0));
        session.execute(sql, &[&room, &version, &actor, &key, &wall, &event]).await?;
    }
    Ok(())
}
