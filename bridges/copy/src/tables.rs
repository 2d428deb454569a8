//! Copying tables: rooms, accounts, or notifications.

use lynk_model::StoreError;
use lynk_model::dump::DumpRow;
use lynk_model::port::{Dump, Fill, LastFault, MarkOf};

use crate::{CopyError, Digest};

/// Rows of one page at most: a room with its members is one.
pub const PAGE_ROWS: u32 = 100;
/// What the rows of a page should weigh together: stores take so many in a fraction of the time that they give a transaction.
const PAGE_WEIGHT: usize = 2_000;

/// How large the next page may be, and the pieces in which one is written: by weight, since a room may have a hundred thousand members.
pub(crate) struct Pages(u32);

impl Pages {
    /// Of small ones: nobody knows yet.
    pub(crate) fn first() -> Self {
        Self(1)
    }

    /// At most twice as many as before, of as much as the last ones weighed.
    fn noted(&mut self, rows: usize, weight: usize) {
        let each = weight / rows.max(1);
        let fit = u32::try_from(PAGE_WEIGHT / each.max(1)).unwrap_or(PAGE_ROWS);
        self.0 = fit.clamp(1, PAGE_ROWS.min(self.0 * 2));
    }
}

/// Rows in pieces that one transaction takes.
pub(crate) fn pieces<R: DumpRow>(rows: &[R]) -> impl Iterator<Item = &[R]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let fits = |row: &&R| {
            sum += row.weight();
            sum <= PAGE_WEIGHT
        };
        let count = rest.iter().take(PAGE_ROWS as usize).take_while(fits).count().max(1).min(rest.len());
        let (piece, left) = rest.split_at(count);
        rest = left;
        Some(piece).filter(|piece| !piece.is_empty())
    })
}

/// Reads a dump from its begin to its end.
pub(crate) struct Walk<'d, D: Dump> {
    dump: &'d mut D,
    /// Whose it is, in messages.
    of: &'static str,
    next: Option<MarkOf<D>>,
    pages: Pages,
}

impl<'d, D: Dump + LastFault> Walk<'d, D> {
    pub(crate) fn new(dump: &'d mut D, of: &'static str) -> Self {
        Self { dump, of, next: Some(MarkOf::<D>::default()), pages: Pages::first() }
    }

    /// The next rows, which are never none; `None` at the end.
    pub(crate) async fn page(&mut self) -> Result<Option<Vec<(D::Row, MarkOf<D>)>>, CopyError> {
        while let Some(at) = &self.next {
            let page = match self.dump.rows(at, self.pages.0).await {
                Ok(page) => page,
                Err(error) => return Err(failed::<D::Row, _>(self.of, self.dump, error)),
            };
            self.next = page.next;
            self.pages.noted(page.rows.len(), page.rows.iter().map(|(row, _)| row.weight()).sum());
            if !page.rows.is_empty() {
                return Ok(Some(page.rows));
            }
        }
        Ok(None)
    }
}

/// A failure of tables, by the name of whose they are.
pub(crate) fn failed<R: DumpRow, S: LastFault>(of: &str, store: &S, error: StoreError) -> CopyError {
    CopyError::store(format!("{of} {}", R::TABLES), store, error)
}

/// What was copied, or is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tables {
    /// Digest of the rows.
    pub digest: Digest,
    /// Rooms, or accounts, or rows of notifications.
    pub counted: u64,
}

impl Tables {
    /// Adds a row; `bytes` becomes its encoding.
    pub(crate) fn add<R: DumpRow>(&mut self, row: &R, bytes: &mut Vec<u8>) {
        bytes.clear();
        row.encode(bytes);
        self.digest.add(bytes);
        self.counted += u64::from(row.is_counted());
    }
}

/// Copies those rows that `keep` wants. `each` is called after every page with the number of rows so far.
///
/// # Errors
/// What one of the two says, by its name, and what `each` says.
pub async fn copy_tables<D, F>(
    source: &mut D,
    target: &mut F,
    keep: fn(&D::Row) -> bool,
    each: &mut impl AsyncFnMut(u64) -> Result<(), CopyError>,
) -> Result<Tables, CopyError>
where
    D: Dump + LastFault,
    F: Fill<Row = D::Row> + LastFault,
{
    let (mut tables, mut bytes) = (Tables::default(), Vec::new());
    let mut walk = Walk::new(source, "the source's");
    while let Some(page) = walk.page().await? {
        let rows: Vec<D::Row> = page.into_iter().map(|(row, _)| row).filter(keep).collect();
        fill(target, &rows).await?;
        rows.iter().for_each(|row| tables.add(row, &mut bytes));
        each(tables.digest.rows).await?;
    }
    Ok(tables)
}

/// Digest of those rows that `keep` wants. `each` is called after every page with the number of rows so far.
///
/// # Errors
/// What the store says, which is `of` whom it is told, and what `each` says.
pub async fn digest_tables<D: Dump + LastFault>(
    dump: &mut D,
    of: &'static str,
    keep: fn(&D::Row) -> bool,
    each: &mut impl AsyncFnMut(u64) -> Result<(), CopyError>,
) -> Result<Tables, CopyError> {
    let (mut tables, mut bytes) = (Tables::default(), Vec::new());
    let mut walk = Walk::new(dump, of);
    while let Some(page) = walk.page().await? {
        page.iter().filter(|(row, _)| keep(row)).for_each(|(row, _)| tables.add(row, &mut bytes));
        each(tables.digest.rows).await?;
    }
    Ok(tables)
}

/// Fills in pieces.
pub(crate) async fn fill<F: Fill + LastFault>(target: &mut F, rows: &[F::Row]) -> Result<(), CopyError> {
    for piece in pieces(rows) {
        if let Err(error) = target.fill(piece).await {
            return Err(failed::<F::Row, _>("the copy's", target, error));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lynk_domain::{RoomId, UserId};
    use lynk_model::dump::RoomsRow;

    fn row(number: u8) -> RoomsRow {
        RoomsRow::Block { by: UserId([number; 16]), user: UserId([0; 16]), room: RoomId([0; 16]) }
    }

    #[test]
    fn a_page_is_written_in_pieces_that_lose_nothing() {
        let rows: Vec<RoomsRow> = (0..=255).cycle().take(PAGE_ROWS as usize * 2 + 7).map(row).collect();
        let sizes: Vec<_> = pieces(&rows).map(<[RoomsRow]>::len).collect();
        assert_eq!(sizes, [PAGE_ROWS as usize, PAGE_ROWS as usize, 7]);
        assert_eq!(pieces(&rows).collect::<Vec<_>>().concat(), rows);
        assert_eq!(pieces::<RoomsRow>(&[]).count(), 0);
    }

    #[test]
    fn what_weighs_much_is_written_alone() {
        let member = lynk_model::MemberRow {
            user: UserId([1; 16]),
            role: lynk_domain::Role::Member,
            joined_version: 1,
            joined_seq: lynk_domain::Seq(0),
            personal: lynk_model::Personal::default(),
            by_stranger: false,
        };
        let of = |members| {
            let room = lynk_model::LoadedRoom { members: vec![member; members], ..Default::default() };
            RoomsRow::Room(Box::new(room))
        };
        let rows = [of(PAGE_WEIGHT), of(1), of(PAGE_WEIGHT / 2), of(PAGE_WEIGHT / 2), of(PAGE_WEIGHT * 2)];
        let sizes: Vec<_> = pieces(&rows).map(<[RoomsRow]>::len).collect();
        assert_eq!(sizes, [1, 2, 1, 1]);
        assert_eq!(pieces(&rows).collect::<Vec<_>>().concat(), rows);
    }

    #[test]
    fn pages_grow_by_and_by_and_no_further_than_they_may() {
        let mut pages = Pages::first();
        let mut sizes = Vec::new();
        for _ in 0..9 {
            sizes.push(pages.0);
            pages.noted(1, 1);
        }
        assert_eq!(sizes, [1, 2, 4, 8, 16, 32, 64, 100, 100]);
        pages.noted(0, 0);
        assert_eq!(pages.0, PAGE_ROWS);
        pages.noted(2, PAGE_WEIGHT);
        assert_eq!(pages.0, 2, "as many as weigh enough");
    }
}
