//! The authority's book: a line for each certificate that it signed and that has not expired.
//!
//! ```text
//! SERIAL NOT_AFTER REVOKED NAME        # hexadecimal, seconds since 1970, seconds or `-`
//! ```
//!
//! Thread: any. Pure. Invariant: a serial is there once. What can fail: a line that is none, which stops the command: a book that lost a line
//! could not revoke.

/// A line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    /// Hexadecimal, lower case, two digits a byte.
    pub(super) serial: String,
    /// Seconds since 1970.
    pub(super) not_after: i64,
    /// When it was revoked; seconds since 1970.
    pub(super) revoked: Option<i64>,
    pub(super) name: String,
}

/// All lines.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Issued(pub(super) Vec<Entry>);

impl Issued {
    /// Reads a book.
    ///
    /// # Errors
    /// The number of the line that is none.
    pub(super) fn parse(text: &str) -> Result<Self, usize> {
        let lines = text.lines().enumerate().map(|(at, line)| entry(line).ok_or(at + 1));
        Ok(Self(lines.collect::<Result<_, _>>()?))
    }

    /// The book as text, without what has expired at `now`.
    pub(super) fn render(&self, now: i64) -> String {
        let mut text = String::new();
        for Entry { serial, not_after, revoked, name } in self.0.iter().filter(|entry| entry.not_after > now)
        {
            let revoked = revoked.map_or_else(|| "-".to_owned(), |at| at.to_string());
            text += &format!("{serial} {not_after} {revoked} {name}\n");
        }
        text
    }

    /// The line of a serial.
    pub(super) fn find(&self, serial: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.serial == serial)
    }

    /// Lines that were revoked, with the time.
    pub(super) fn revoked(&self) -> impl Iterator<Item = (&Entry, i64)> {
        self.0.iter().filter_map(|entry| Some((entry, entry.revoked?)))
    }
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let (serial, not_after, revoked, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let hex = !serial.is_empty() && serial.len().is_multiple_of(2) && unhex(serial).is_some();
    let revoked = match revoked {
        "-" => None,
        at => Some(at.parse().ok()?),
    };
    (hex && words.next().is_none() && super::check_name(name).is_ok()).then_some(Entry {
        serial: serial.to_owned(),
        not_after: not_after.parse().ok()?,
        revoked,
        name: name.to_owned(),
    })
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    digits.then(|| (0..text.len()).step_by(2).map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_is_read_as_it_was_written_and_forgets_what_has_expired() {
        let text = "0a0b 200 - postgres\nff 300 150 lynk_rooms\n";
        let book = Issued::parse(text).expect("a book");
        assert_eq!(book.render(100), text);
        assert_eq!(book.render(200), "ff 300 150 lynk_rooms\n");
        assert_eq!(
            book.revoked().map(|(entry, at)| (entry.name.as_str(), at)).next(),
            Some(("lynk_rooms", 150))
        );
        assert_eq!(book.find("0a0b").map(|entry| entry.name.as_str()), Some("postgres"));
        for bad in ["0a0 1 - a", "zz 1 - a", "0a x - a", "0a 1 - ../a", "0a 1 -", "0a 1 - a b", ""] {
            assert_eq!(Issued::parse(&format!("0a 1 - a\n{bad}\n")), Err(2), "{bad:?}");
        }
    }
}
