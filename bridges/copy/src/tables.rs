//! Copying the relational sides.

use lynk_model::dump::{AccountsMark, AccountsRow, RoomsMark, RoomsRow};
use lynk_model::port::{AccountDump, AccountFill, LastFault, RoomDump, RoomFill};

use crate::{CopyError, Digest};

/// Rows of one page at most: a room with its members is one.
pub const PAGE_ROWS: u32 = 100;
/// Members that a page should have: stores take so many in a fraction of the time that they give a transaction.
const PAGE_MEMBERS: usize = 2_000;

/// How large the next page of rooms may be, and the pieces in which one is written: by members, since a room may have a hundred thousand.
pub(crate) struct Pages(pub(crate) u32);

impl Pages {
    /// Of small ones: nobody knows yet.
    pub(crate) fn first() -> Self {
        Self(1)
    }

    /// At most twice as many as before, of as many members as the last ones had.
    pub(crate) fn noted(&mut self, rows: &[RoomsRow]) {
        let each = rows.iter().map(members).sum::<usize>() / rows.len().max(1);
        let fit = u32::try_from(PAGE_MEMBERS / each.max(1)).unwrap_or(PAGE_ROWS);
        self.0 = fit.clamp(1, PAGE_ROWS.min(self.0 * 2));
    }

    fn pieces(rows: &[RoomsRow]) -> impl Iterator<Item = &[RoomsRow]> {
        let mut rest = rows;
        std::iter::from_fn(move || {
            let mut sum = 0;
            let fits = |row: &&RoomsRow| {
                sum += members(row);
                sum <= PAGE_MEMBERS
            };
            let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
            let (piece, left) = rest.split_at(count);
            rest = left;
            Some(piece).filter(|piece| !piece.is_empty())
        })
    }
}

fn members(row: &RoomsRow) -> usize {
    match row {
        RoomsRow::Room(room) => 1 + room.members.len() + room.bans.len(),
        _ => 1,
    }
}

/// What was copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tables {
    /// Digest of the rows.
    pub digest: Digest,
    /// Rooms, or accounts.
    pub first: u64,
}

/// Copies rooms, names, blocks and results.
///
/// # Errors
/// What one of the two says, by its name.
pub async fn copy_rooms<D, F>(source: &mut D, target: &mut F) -> Result<Tables, CopyError>
where
    D: RoomDump + LastFault,
    F: RoomFill + LastFault,
{
    let (mut tables, mut bytes) = (Tables::default(), Vec::new());
    let (mut mark, mut pages) = (Some(RoomsMark::default()), Pages::first());
    while let Some(at) = mark {
        let page = match source.rows(&at, pages.0).await {
            Ok(page) => page,
            Err(error) => return Err(CopyError::store("the source's rooms", source, error)),
        };
        pages.noted(&page.rows);
        for piece in Pages::pieces(&page.rows) {
            if let Err(error) = target.fill(piece).await {
                return Err(CopyError::store("the copy's rooms", target, error));
            }
        }
        for row in &page.rows {
            bytes.clear();
            row.encode(&mut bytes);
            tables.digest.add(&bytes);
            tables.first += u64::from(matches!(row, RoomsRow::Room(_)));
        }
        mark = page.next;
    }
    Ok(tables)
}

/// Copies accounts, names, counters and the audit log, and sessions when they are wanted.
///
/// # Errors
/// What one of the two says, by its name.
pub async fn copy_accounts<D, F>(source: &mut D, target: &mut F, sessions: bool) -> Result<Tables, CopyError>
where
    D: AccountDump + LastFault,
    F: AccountFill + LastFault,
{
    let (mut tables, mut bytes) = (Tables::default(), Vec::new());
    let mut mark = Some(AccountsMark::default());
    while let Some(at) = mark {
        let mut page = match source.rows(&at, PAGE_ROWS).await {
            Ok(page) => page,
            Err(error) => return Err(CopyError::store("the source's accounts", source, error)),
        };
        page.rows.retain(|row| sessions || !matches!(row, AccountsRow::Session { .. }));
        if let Err(error) = target.fill(&page.rows).await {
            return Err(CopyError::store("the copy's accounts", target, error));
        }
        for row in &page.rows {
            bytes.clear();
            row.encode(&mut bytes);
            tables.digest.add(&bytes);
            tables.first += u64::from(matches!(row, AccountsRow::Account(_)));
        }
        mark = page.next;
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lynk_domain::{RoomId, UserId};

    fn row(number: u8) -> RoomsRow {
        RoomsRow::Block { by: UserId([number; 16]), user: UserId([0; 16]), room: RoomId([0; 16]) }
    }

    #[test]
    fn a_page_is_written_in_pieces_that_lose_nothing() {
        let rows: Vec<RoomsRow> = (0..=255).cycle().take(PAGE_MEMBERS * 2 + 7).map(row).collect();
        let pieces: Vec<_> = Pages::pieces(&rows).collect();
        assert_eq!(
            pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>(),
            [PAGE_MEMBERS, PAGE_MEMBERS, 7]
        );
        assert_eq!(pieces.concat(), rows);
        assert_eq!(Pages::pieces(&[]).count(), 0);
    }

    #[test]
    fn pages_grow_by_and_by_and_no_further_than_they_may() {
        let mut pages = Pages::first();
        let mut sizes = Vec::new();
        for _ in 0..9 {
            sizes.push(pages.0);
            pages.noted(&[row(1)]);
        }
        assert_eq!(sizes, [1, 2, 4, 8, 16, 32, 64, 100, 100]);
        pages.noted(&[]);
        assert_eq!(pages.0, PAGE_ROWS);
    }
}
