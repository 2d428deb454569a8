//! Bringing a copy of tables to a later state of its source, by what differs.
//!
//! [`bring_tables`] walks an older and a newer state side by side, in the order of their marks, and writes to a target that holds the older
//! one what is new or another, after it has taken out what is gone. So a name, a number, or a place in the outbox that passed from one row to
//! another is free before it is taken.
//!
//! What is proven when it returns, beside what the stores say of their own writing:
//! - the older state is the one that the target held, by digest: whoever calls has compared the target with it;
//! - what was found to differ is exactly what makes the newer state of the older one: the sum over the older, less the rows that are gone,
//!   plus those that are put, is that over the newer;
//! - every row that was put is in the target as it should be, and none that was taken out, read anew after all writing; and the target has as
//!   many rows as the newer state. When too much changed to be held in memory, the whole target is compared by digest instead.
//!
//! What is not: that nobody else has changed, meanwhile, a row of the target that is the same in both states. Nobody else has a reason to
//! write to it.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::vec::IntoIter;

use lynk_model::dump::DumpRow;
use lynk_model::port::{Dump, Fill, LastFault, MarkOf};

use crate::tables::{Walk, failed, fill, pieces};
use crate::{CopyError, Digest, Tables, digest_tables};

/// Weight of the rows that are held at most: some ten million bytes.
const HELD_WEIGHT_MAX: usize = 100_000;

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Brought {
    /// The newer state.
    pub tables: Tables,
    /// Rows that were taken out.
    pub gone: u64,
    /// Rows that were put in, new ones and others.
    pub put: u64,
}

/// How one state of tables differs from another.
enum Change<R> {
    Gone(R),
    Put(R),
}

/// Brings `target`, which holds `old` as its digest `held` says, to what `new` has. `look` shows the target as it is when it is called. `each`
/// is called now and then, with the number of rows looked at.
///
/// # Errors
/// What a store says, by its name; what `each` says; [`CopyError::Differs`] when something is not as it must be.
pub async fn bring_tables<O, N, F, L>(
    (old, new): (&mut O, &mut N),
    target: &mut F,
    look: &mut impl AsyncFnMut() -> Result<L, CopyError>,
    held: Digest,
    each: &mut impl AsyncFnMut(u64) -> Result<(), CopyError>,
) -> Result<Brought, CopyError>
where
    O: Dump + LastFault,
    N: Dump<Row = O::Row> + LastFault,
    F: Fill<Row = O::Row> + LastFault,
    L: Dump<Row = O::Row> + LastFault,
{
    bring(old, new, target, look, held, each, HELD_WEIGHT_MAX).await
}

async fn bring<O, N, F, L>(
    old: &mut O,
    new: &mut N,
    target: &mut F,
    look: &mut impl AsyncFnMut() -> Result<L, CopyError>,
    held: Digest,
    each: &mut impl AsyncFnMut(u64) -> Result<(), CopyError>,
    held_max: usize,
) -> Result<Brought, CopyError>
where
    O: Dump + LastFault,
    N: Dump<Row = O::Row> + LastFault,
    F: Fill<Row = O::Row> + LastFault,
    L: Dump<Row = O::Row> + LastFault,
{
    let (mut gone, mut put) = (Vec::new(), Vec::new());
    let (mut brought, mut weight) = (Brought::default(), 0);
    let mut told = async |change: Change<O::Row>| {
        match change {
            Change::Gone(row) => {
                brought.gone += 1;
                weight += row.weight();
                gone.push(row);
            }
            Change::Put(row) => {
                brought.put += 1;
                weight += row.weight();
                put.push(row);
            }
        }
        if weight > held_max {
            (gone, put) = (Vec::new(), Vec::new());
        }
        Ok(())
    };
    let sides = merge(old, new, each, &mut told).await?;
    let differs = |what: &str| {
        Err(CopyError::Differs(vec![format!("the tables of {}: {what}", <O::Row as DumpRow>::TABLES)]))
    };
    if sides.old != held {
        return differs("what was copied is not what it was");
    }
    if sides.made != sides.new.digest {
        return differs("what changed does not make the newer state of the older one");
    }
    brought.tables = sides.new;
    if weight <= held_max {
        let rows = sides.new.digest.rows;
        for piece in pieces(&gone) {
            take_out(target, piece).await?;
            each(rows).await?;
        }
        for piece in pieces(&put) {
            fill(target, piece).await?;
            each(rows).await?;
        }
        let mut look = look().await?;
        let wrong = wrong_rows(&mut look, &gone, &put, &mut async || each(rows).await).await?;
        if wrong > 0 {
            return differs(&format!("{wrong} of the rows that changed are not as they should be"));
        }
        let count = look.count().await.map_err(|error| failed::<O::Row, _>("the copy's", &look, error))?;
        if count != brought.tables.digest.rows {
            return differs(&format!("rows: {} and {count}", brought.tables.digest.rows));
        }
        return Ok(brought);
    }
    write(old, new, target, each).await?;
    let there = digest_tables(&mut look().await?, "the copy's", |_| true, each).await?;
    if there != brought.tables {
        return differs(&format!("{} and {}", brought.tables.digest, there.digest));
    }
    Ok(brought)
}

/// Writes what differs as it is found: first what is gone, then the rest.
async fn write<O, N, F>(
    old: &mut O,
    new: &mut N,
    target: &mut F,
    each: &mut impl AsyncFnMut(u64) -> Result<(), CopyError>,
) -> Result<(), CopyError>
where
    O: Dump + LastFault,
    N: Dump<Row = O::Row> + LastFault,
    F: Fill<Row = O::Row> + LastFault,
{
    const AT_ONCE: usize = 100;
    for taking_out in [true, false] {
        let mut rows = Vec::new();
        let mut told = async |change: Change<O::Row>| {
            match (change, taking_out) {
                (Change::Gone(row), true) | (Change::Put(row), false) => rows.push(row),
                _ => {}
            }
            if rows.len() < AT_ONCE {
                return Ok(());
            }
            let rows = std::mem::take(&mut rows);
            if taking_out { take_out(target, &rows).await } else { fill(target, &rows).await }
        };
        merge(old, new, each, &mut told).await?;
        if taking_out { take_out(target, &rows).await? } else { fill(target, &rows).await? }
    }
    Ok(())
}

async fn take_out<F: Fill + LastFault>(target: &mut F, rows: &[F::Row]) -> Result<(), CopyError> {
    for piece in pieces(rows) {
        if let Err(error) = target.take_out(piece).await {
            return Err(failed::<F::Row, _>("the copy's", target, error));
        }
    }
    Ok(())
}

/// How many rows are not as they should be.
async fn wrong_rows<L: Dump + LastFault>(
    look: &mut L,
    gone: &[L::Row],
    put: &[L::Row],
    each: &mut impl AsyncFnMut() -> Result<(), CopyError>,
) -> Result<u64, CopyError> {
    let bytes = |row: &L::Row, of: fn(&L::Row, &mut Vec<u8>)| {
        let mut bytes = Vec::new();
        of(row, &mut bytes);
        bytes
    };
    let mut wrong = 0;
    for piece in pieces(put) {
        let found = look.find(piece).await;
        let found = found.map_err(|error| failed::<L::Row, _>("the copy's", &*look, error))?;
        let found: BTreeSet<_> = found.iter().map(|row| bytes(row, L::Row::encode)).collect();
        each().await?;
        wrong += piece.iter().filter(|row| !found.contains(&bytes(row, L::Row::encode))).count() as u64;
    }
    let kept: BTreeSet<_> = put.iter().map(|row| bytes(row, L::Row::key)).collect();
    for piece in pieces(gone) {
        let found = look.find(piece).await;
        let found = found.map_err(|error| failed::<L::Row, _>("the copy's", &*look, error))?;
        each().await?;
        wrong += found.iter().filter(|row| !kept.contains(&bytes(row, L::Row::key))).count() as u64;
    }
    Ok(wrong)
}

/// Two states that were walked side by side.
struct Sides {
    old: Digest,
    new: Tables,
    /// The older one with what was told to differ.
    made: Digest,
}

/// One state of the two.
struct Side<'d, D: Dump> {
    walk: Walk<'d, D>,
    page: IntoIter<(D::Row, MarkOf<D>)>,
    at: Option<(D::Row, MarkOf<D>)>,
    tables: Tables,
}

impl<'d, D: Dump + LastFault> Side<'d, D> {
    fn new(dump: &'d mut D, of: &'static str) -> Self {
        let page = Vec::new().into_iter();
        Self { walk: Walk::new(dump, of), page, at: None, tables: Tables::default() }
    }

    /// Sees to it that there is a row, unless there are no more. Says whether a page was read for it.
    async fn load(&mut self) -> Result<bool, CopyError> {
        if self.at.is_some() {
            return Ok(false);
        }
        self.at = self.page.next();
        if self.at.is_some() {
            return Ok(false);
        }
        let Some(page) = self.walk.page().await? else { return Ok(false) };
        self.page = page.into_iter();
        self.at = self.page.next();
        Ok(true)
    }

    /// The row that is there, and its encoding.
    fn take(&mut self) -> Option<(D::Row, Vec<u8>)> {
        let (row, _) = self.at.take()?;
        let mut bytes = Vec::new();
        self.tables.add(&row, &mut bytes);
        Some((row, bytes))
    }
}

/// Walks two states side by side and tells how they differ.
async fn merge<O, N>(
    old: &mut O,
    new: &mut N,
    each: &mut impl AsyncFnMut(u64) -> Result<(), CopyError>,
    told: &mut impl AsyncFnMut(Change<O::Row>) -> Result<(), CopyError>,
) -> Result<Sides, CopyError>
where
    O: Dump + LastFault,
    N: Dump<Row = O::Row> + LastFault,
{
    let (mut old, mut new) = (Side::new(old, "the earlier"), Side::new(new, "the source's"));
    let mut made = Digest::default();
    let key = |row: &O::Row| {
        let mut key = Vec::new();
        row.key(&mut key);
        key
    };
    loop {
        if old.load().await? | new.load().await? {
            each(old.tables.digest.rows.max(new.tables.digest.rows)).await?;
        }
        let order = match (&old.at, &new.at) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((_, before)), Some((_, now))) => before.cmp(now),
        };
        let before = if order.is_le() { old.take() } else { None };
        let now = if order.is_ge() { new.take() } else { None };
        // The row before counts until it is told to be gone or another.
        if let Some((_, bytes)) = &before {
            made.add(bytes);
        }
        match (before, now) {
            (Some((_, before)), Some((_, now))) if before == now => {}
            (before, now) => {
                let stays =
                    matches!((&before, &now), (Some((before, _)), Some((now, _))) if key(before) == key(now));
                if let Some((row, bytes)) = before {
                    made.take_away(&bytes);
                    if !stays {
                        told(Change::Gone(row)).await?;
                    }
                }
                if let Some((row, bytes)) = now {
                    made.add(&bytes);
                    told(Change::Put(row)).await?;
                }
            }
        }
    }
    Ok(Sides { old: old.tables.digest, new: new.tables, made })
}

#[cfg(test)]
mod tests;
