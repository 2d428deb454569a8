//! What goes out at the end of a turn: one send per connection.

use lynk_connection::Plan;
use lynk_ring::Report;

use super::Shard;
use crate::chat::Chat;
use crate::driver::Driver;
use crate::note::note;

impl<D: Driver, C: Chat> Shard<D, C> {
    /// Hands one send per connection to the driver, which carries them out until the end of its turn.
    pub(super) fn plan_sends(&mut self) {
        note(self.shard, "sends");
        self.queue.begin();
        let mut index = 0;
        while let Some(slot) = self.queue.slot(index) {
            if self.plan_send(index, slot) {
                index += 1;
            } else {
                self.driver.submit();
            }
        }
    }

    /// Plans the send of one entry. `false`: the room is used up.
    fn plan_send(&mut self, index: usize, slot: u32) -> bool {
        let Some(entry) = self.table.get(slot).filter(|entry| !entry.leaving) else { return true };
        let (now, settings) = (self.now.mono, &self.config.connection);
        let plan = self.queue.plan(index, &mut entry.connection, now, settings, self.driver.room());
        match plan {
            Plan::Idle => self.touched.push(slot),
            Plan::Frame(frame) => {
                let frame = self.queue.planned(frame);
                self.counters.sends += 1;
                self.planned_bytes += frame.wire().len() as u64;
                self.driver.send_frame(entry.file, frame, Report::Short);
            }
            Plan::Copied { bytes } => {
                self.counters.sends += 1;
                self.planned_bytes += bytes as u64;
                self.driver.send_copied(entry.file, bytes, Report::Short);
            }
            Plan::Reported { bytes } => {
                self.counters.sends_slow += 1;
                self.touched.push(slot);
                self.driver.send_copied(entry.file, bytes, Report::Always);
            }
            Plan::NoRoom => return false,
        }
        true
    }
}
