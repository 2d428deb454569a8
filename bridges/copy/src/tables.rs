//! Copying the relational sides.

use lynk_model::dump::{AccountsMark, AccountsRow, RoomsMark, RoomsRow};
use lynk_model::port::{AccountDump, AccountFill, LastFault, RoomDump, RoomFill};

use crate::{CopyError, Digest};

/// Rows of one page: a room with its members is one.
pub const PAGE_ROWS: u32 = 100;

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
    let mut mark = Some(RoomsMark::default());
    while let Some(at) = mark {
        let page = match source.rows(&at, PAGE_ROWS).await {
            Ok(page) => page,
            Err(error) => return Err(CopyError::store("the source's rooms", source, error)),
        };
        if let Err(error) = target.fill(&page.rows).await {
            return Err(CopyError::store("the copy's rooms", target, error));
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
