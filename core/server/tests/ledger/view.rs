//! What one subscriber has of one room: every event it was ever told, by seq, merged as the protocol asks a good client to.

use std::collections::BTreeMap;

use super::wire::Told;

/// A subscriber's log of one room.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Prints of the events `1..=prints.len()`: the part without holes.
    prints: Vec<u64>,
    /// Events above a hole.
    early: BTreeMap<u64, u64>,
    epoch: Option<u64>,
    /// Highest seq known to exist.
    top: u64,
    /// A page of history is on its way.
    filling: bool,
    /// Events that came more than once, which the wire may do.
    pub(crate) repeated: u64,
    /// Pages asked for.
    pub(crate) pages: u64,
}

impl View {
    /// Epoch and seq to resume from.
    pub(crate) fn cursor(&self) -> (Option<u64>, u64) {
        (self.epoch, self.prints.len() as u64)
    }

    /// Every event told so far: its seq and print.
    pub(crate) fn told_since(&self, seq: u64) -> impl Iterator<Item = (u64, u64)> {
        let whole = (1..).zip(self.prints.iter().copied()).skip(seq as usize);
        whole.chain(self.early.iter().map(|(seq, print)| (*seq, *print)))
    }

    /// The connection is gone, and with it the page that was asked for.
    pub(crate) fn disconnected(&mut self) {
        self.filling = false;
    }

    /// Takes one event.
    ///
    /// # Errors
    /// Another event had this seq before.
    pub(crate) fn take(&mut self, seq: u64, print: u64) -> Result<(), String> {
        self.top = self.top.max(seq);
        let held = match self.prints.get(seq.saturating_sub(1) as usize) {
            Some(held) => Some(*held),
            None => self.early.insert(seq, print),
        };
        match held {
            Some(held) if held != print => Err(format!("two different events with seq {seq}")),
            Some(_) => {
                self.repeated += 1;
                Ok(())
            }
            None => {
                while let Some(next) = self.early.remove(&(self.prints.len() as u64 + 1)) {
                    self.prints.push(next);
                }
                Ok(())
            }
        }
    }

    /// Takes the events of a `subscribed` or `history`.
    ///
    /// # Errors
    /// A gap, an order that is not ascending, another epoch, or two events with one seq.
    pub(crate) fn take_page(&mut self, page: &Told<'_>) -> Result<(), String> {
        if self.epoch.is_some() && self.epoch != page.epoch {
            return Err(format!("epoch {:?} became {:?}", self.epoch, page.epoch));
        }
        self.epoch = page.epoch;
        self.top = self.top.max(page.top.unwrap_or(0));
        let mut last = 0;
        for event in &page.events {
            if event.ev == "gap" {
                return Err(format!("a gap in a durable room: {event:?}"));
            }
            if event.seq() <= last {
                return Err(format!("seq {} follows {last} on a page", event.seq()));
            }
            last = event.seq();
            self.take(last, event.print())?;
        }
        Ok(())
    }

    /// The page arrived, or could not be had.
    pub(crate) fn filled(&mut self) {
        self.filling = false;
    }

    /// The server left this connection out up to `to`.
    pub(crate) fn resync(&mut self, to: u64) {
        self.top = self.top.max(to);
    }

    /// Epoch and seq after which a page must be asked for now.
    pub(crate) fn missing(&mut self) -> Option<(u64, u64)> {
        let (epoch, seq) = self.cursor();
        let epoch = epoch.filter(|_| !self.filling && seq < self.top)?;
        self.filling = true;
        self.pages += 1;
        Some((epoch, seq))
    }

    /// Whether it has everything that it knows of, up to `top` at least.
    pub(crate) fn is_whole(&self, top: u64) -> bool {
        self.early.is_empty() && self.prints.len() as u64 >= self.top.max(top)
    }
}
