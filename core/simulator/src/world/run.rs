//! A run from its first event to the last judgement.

use std::rc::Rc;

use lynk_domain::{Nanos, ShardId};
use lynk_model::StoreReply;

use super::{Account, Client, Event, Fault, World};
use crate::client::Around;
use crate::faults::Sabotage;

/// Time in which removals that hold reach the store, when their rooms are loaded: owners repeat them every second.
const PROMISE_NANOS: u64 = 3_000_000_000;
/// Virtual time that everybody may take to finish what is open.
const SETTLE_NANOS: u64 = 600_000_000_000;
/// Virtual time of a drain.
const DRAIN_NANOS: u64 = 3_000_000_000;
/// Virtual time until its deadline after which a drain must be over.
const DRAIN_GRACE_NANOS: u64 = 8_000_000_000;
/// Events of one run: far more than any needs.
const STEPS_MAX: u64 = 3_000_000;

impl World {
    /// Runs everything.
    ///
    /// # Errors
    /// The first broken promise.
    pub(crate) fn run(&mut self) -> Result<Account, String> {
        self.start_or_die()?;
        for client in 0..self.clients.len() {
            let at = self.random.below(20_000_000);
            self.wake_client(client, at);
        }
        self.plan_faults();
        let work = self.plan.scenario.work_millis * 1_000_000;
        self.until(work, |_| false)?;
        self.heal();
        if self.plan.scenario.limits.rooms_loaded_per_shard_max < 100 && self.process.is_some() {
            self.die(false)?;
        }
        self.settle_down("after the work")?;
        self.compare("after the work")?;
        if self.random.chance(500) {
            let power = self.random.chance(600);
            self.die(power)?;
            self.settle_down("after the last crash")?;
            self.compare("after the last crash")?;
        }
        self.drain_out()?;
        self.probe()?;
        self.account.millis = self.now / 1_000_000;
        self.account.steps = self.step;
        self.account.sign_ins = self
            .clients
            .iter()
            .map(|client| match client {
                Client::Device(device) => device.sign_ins,
                Client::Rogue(_) | Client::Caller(_) | Client::Eraser(_) => 0,
            })
            .sum();
        let done = |client: &&Client| matches!(client, Client::Eraser(eraser) if !eraser.unfinished());
        self.account.reached.erased += self.clients.iter().filter(done).count() as u64;
        Ok(self.account)
    }

    /// Lets events happen until `time`, or until `enough`.
    fn until(&mut self, time: u64, enough: impl Fn(&Self) -> bool) -> Result<(), String> {
        while !enough(self) {
            let Some(next) = self.queue.peek().filter(|next| next.time <= time) else {
                self.now = self.now.max(time);
                return Ok(());
            };
            self.now = self.now.max(next.time);
            let Some(next) = self.queue.pop() else { return Ok(()) };
            if next.boot != self.boot && of_process(&next.event) {
                continue;
            }
            self.step += 1;
            if self.step > STEPS_MAX {
                return Err("the world does not come to rest".to_owned());
            }
            self.happen(next.event)?;
            if self.dying || (self.disk.changes_left() == 0 && self.process.is_some()) {
                self.dying = false;
                self.die(true)?;
            }
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Shard(id) => self.turn(id),
            Event::Client(index) => self.client(index),
            Event::Written(id) => self.write_done(id),
            Event::Keeper(id) => self.keep(id),
            Event::Store(id, request) => self.serve_store(id, request),
            Event::Reply(id, request, mut reply) => {
                if let StoreReply::Old { found, .. } = &mut *reply
                    && self.still
                {
                    // What is compared stands still.
                    found.clear();
                }
                if let Some(desk) = self.desk(id) {
                    desk.replies.push_back((request, *reply));
                }
                self.wake_shard(id, 10_000);
                Ok(())
            }
            Event::Drain => self.drain_step(),
            Event::Start => self.start_or_die(),
            Event::Fault(fault) => self.fault(fault),
        }
    }

    fn start_or_die(&mut self) -> Result<(), String> {
        if self.process.is_some() { Ok(()) } else { self.start() }
    }

    /// Puts the scenario's faults at random times.
    fn plan_faults(&mut self) {
        let faults = self.plan.scenario.faults;
        let work = self.plan.scenario.work_millis * 1_000_000;
        let mut put = |count: u32, make: &dyn Fn(&mut Self, u64)| {
            for _ in 0..count {
                let at = self.random.below(work);
                make(self, at);
            }
        };
        put(faults.process.crashes, &|world, at| world.at(at, Event::Fault(Fault::Crash)));
        put(faults.process.drains, &|world, at| world.at(at, Event::Fault(Fault::Drain)));
        put(faults.process.clock_jumps, &|world, at| world.at(at, Event::Fault(Fault::Clock)));
        put(faults.process.days, &|world, at| world.at(at, Event::Fault(Fault::Day)));
        put(faults.disk.full_times, &|world, at| {
            world.at(at, Event::Fault(Fault::DiskFull(true)));
            let long = world.random.delay(150_000_000);
            world.at(at + long, Event::Fault(Fault::DiskFull(false)));
        });
        put(faults.store.outages, &|world, at| {
            world.at(at, Event::Fault(Fault::Outage(true)));
            let long = world.random.delay(200_000_000);
            world.at(at + long, Event::Fault(Fault::Outage(false)));
        });
        put(2, &|world, at| world.at(at, Event::Fault(Fault::Probe)));
    }

    fn fault(&mut self, fault: Fault) -> Result<(), String> {
        self.trace.line(|| format!("fault: {fault:?}"));
        let faults = self.plan.scenario.faults;
        match fault {
            _ if self.healed => Ok(()),
            Fault::Crash => {
                let mid_change = self.random.chance(faults.process.mid_change_permille);
                if mid_change && self.process.is_some() {
                    self.disk.stop_after(self.random.below(30));
                    return Ok(());
                }
                let power = self.random.chance(faults.process.power_permille);
                if self.process.is_some() { self.die(power) } else { Ok(()) }
            }
            Fault::Drain => {
                self.begin_drain();
                Ok(())
            }
            Fault::Clock => {
                let most = faults.process.clock_jump_millis;
                let jump = self.random.between(0, 2 * most) as i64 - most as i64;
                self.wall_shift += jump;
                Ok(())
            }
            Fault::Day => {
                self.wall_shift += self.random.between(20 * 3_600_000, 40 * 3_600_000) as i64;
                Ok(())
            }
            Fault::DiskFull(full) => {
                self.disk.set_space(if full { 0 } else { u64::MAX });
                Ok(())
            }
            Fault::Outage(away) => {
                self.stores.away = away;
                Ok(())
            }
            Fault::Probe => {
                // A disk that is about to stop would fail the copy's recovery as well.
                if self.disk.changes_left() == u64::MAX { self.probe() } else { Ok(()) }
            }
        }
    }

    /// Ends all faults.
    fn heal(&mut self) {
        self.healed = true;
        self.settling = true;
        self.stores.away = false;
        if self.process.is_some() {
            self.disk.stop_after(u64::MAX);
        }
        self.disk.set_space(u64::MAX);
        self.network.faults.short_permille = 0;
        self.network.faults.blocked_permille = 0;
        self.network.sockets.iter_mut().flatten().for_each(|socket| socket.heal());
        for client in 0..self.clients.len() {
            self.wake_client(client, self.now + 1);
        }
        self.trace.line(|| "everything is healed".to_owned());
    }

    /// Waits until every client is done.
    fn settle_down(&mut self, when: &str) -> Result<(), String> {
        self.still = false;
        let end = self.now + SETTLE_NANOS;
        // A promise is kept when its room is loaded, which may take until somebody asks for it.
        let patience = self.now + PROMISE_NANOS;
        while self.now < end {
            let next = self.now + 250_000_000;
            self.until(next, |_| false)?;
            let kept = self.ledger.unkept(None).is_none() || self.now >= patience;
            if kept && self.unfinished().is_none() {
                return Ok(());
            }
            for client in 0..self.clients.len() {
                self.wake_client(client, self.now + 1);
            }
        }
        let what = self.unfinished().unwrap_or_default();
        Err(format!("{when} the world does not settle: {what}"))
    }

    fn unfinished(&mut self) -> Option<String> {
        let draining = self.process.as_ref().is_none_or(|p| p.draining.is_some());
        if draining {
            return Some("the process is not up".to_owned());
        }
        let around = Around {
            now: self.now,
            wall: self.server_wall(),
            server_wall: self.server_wall(),
            step: self.step,
            ledger: &mut self.ledger,
            files: &self.stores.files,
            directory: &mut self.directory,
            network: &mut self.network,
            tokens: &mut self.tokens,
            parsed: &mut self.parsed,
            trace: &self.trace,
            buffer: &mut self.buffer,
            calls: &mut self.calls,
            boot: self.boot,
            settling: self.settling,
            still: self.still,
        };
        for client in &self.clients {
            if let Client::Device(device) = client
                && let Some(what) = device.unfinished(&around)
            {
                return Some(format!("client {}: {what}", device.user));
            }
            if let Client::Caller(caller) = client
                && caller.unfinished()
            {
                return Some(format!("caller {} waits", caller.user));
            }
            if let Client::Eraser(eraser) = client
                && eraser.unfinished()
            {
                return Some(format!("the erasure of {} is not finished", eraser.user));
            }
        }
        // Records of rooms at level `memory` are shown before they are written.
        let written = |p: &super::Process| p.shards.iter().flatten().all(|shard| shard.writer.is_idle());
        if !self.process.as_ref().is_some_and(written) {
            return Some("records are not written".to_owned());
        }
        if !self.drained_all() {
            return Some("records are not drained".to_owned());
        }
        if self.still
            && let Some(what) = self.ledger.misplaced(&self.stores.files)
        {
            return Some(what);
        }
        let idle = self.process.as_ref().is_some_and(|p| p.bridge.is_idle());
        (!idle).then(|| "store requests are open".to_owned())
    }

    /// Every client reads every room whole, and everything must be exact.
    fn compare(&mut self, when: &str) -> Result<(), String> {
        self.trace.line(|| format!("comparing {when}"));
        self.still = true;
        for index in 0..self.clients.len() {
            if let Client::Device(device) = &mut self.clients[index] {
                device.audit();
            }
            self.wake_client(index, self.now + 1);
        }
        let end = self.now + SETTLE_NANOS;
        while self.now < end {
            let next = self.now + 250_000_000;
            self.until(next, |_| false)?;
            // An owner repeats what the store did not take within a second.
            if self.unfinished().is_none() && self.ledger.unkept(None).is_none() {
                self.still = false;
                self.ledger.erased_is_gone()?;
                return self.stored_rows_are_true();
            }
            for client in 0..self.clients.len() {
                self.wake_client(client, self.now + 1);
            }
        }
        let what = self.unfinished().or_else(|| self.ledger.unkept(None)).unwrap_or_default();
        Err(format!("{when} a comparison does not end: {what}"))
    }

    /// Tells every shard to leave.
    fn begin_drain(&mut self) {
        let deadline = Nanos(self.now + DRAIN_NANOS);
        let Some(process) = self.process.as_mut().filter(|p| p.draining.is_none()) else { return };
        process.draining = Some(deadline.0);
        self.network.listening = false;
        Rc::make_mut(&mut self.settings).draining = true;
        let shards = process.desks.len();
        process.desks.iter_mut().for_each(|desk| desk.drain = Some(deadline));
        for shard in 0..shards {
            self.wake_shard(ShardId(shard as u16), 1_000);
        }
        self.trace.line(|| "the process is told to leave".to_owned());
    }

    /// Whether a drain is over; then the process ends and another starts.
    pub(super) fn end_drain(&mut self) -> Result<(), String> {
        let Some(process) = &self.process else { return Ok(()) };
        let Some(deadline) = process.draining else { return Ok(()) };
        let done = process.shards.iter().flatten().all(|s| s.drain_done && s.writer.is_idle());
        if done {
            self.trace.line(|| "the process has left".to_owned());
            return self.die(false);
        }
        if self.now > deadline + DRAIN_GRACE_NANOS {
            let stuck: Vec<u16> =
                process.shards.iter().flatten().filter(|s| !s.drain_done).map(|s| s.id.0).collect();
            return Err(format!("a drain does not end; shards {stuck:?}"));
        }
        Ok(())
    }

    /// The last act: the process leaves.
    fn drain_out(&mut self) -> Result<(), String> {
        let crashes = self.account.crashes;
        self.begin_drain();
        let end = self.now + DRAIN_NANOS + DRAIN_GRACE_NANOS + 1_000_000_000;
        self.until(end, |world| world.account.crashes > crashes)?;
        if self.account.crashes == crashes {
            return Err("the last drain does not end".to_owned());
        }
        self.account.crashes -= 1;
        Ok(())
    }

    /// What the message store holds is what the log makes of it.
    fn stored_rows_are_true(&self) -> Result<(), String> {
        if self.plan.sabotage == Sabotage::None || self.plan.sabotage == Sabotage::SkipDrain {
            self.ledger.stored(&self.stores.messages)?;
        }
        Ok(())
    }
}

/// Whether an event belongs to one life of the process.
fn of_process(event: &Event) -> bool {
    !matches!(event, Event::Client(_) | Event::Start | Event::Fault(_))
}
