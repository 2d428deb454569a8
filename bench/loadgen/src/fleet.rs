//! Many connections, signed in and subscribed, behind one epoll.

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lynk_domain::RoomId;
use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::client::Client;
use crate::frames::Keys;
use crate::{Target, TokenSource};

/// What the timer is called among the numbers of connections.
const TIMER: u64 = u64::MAX;

/// The connections of one run, room by room: connection `i` is in room `i % rooms`.
pub(crate) struct Fleet {
    pub(crate) clients: Vec<Client>,
    pub(crate) rooms: Vec<RoomId>,
    epoll: rustix::fd::OwnedFd,
    /// Ends a wait to the nanosecond, which the wait's own bound in milliseconds cannot.
    timer: rustix::fd::OwnedFd,
    ready: Vec<epoll::Event>,
    buffer: Vec<u8>,
    /// Clients whose output did not fit the socket.
    pub(crate) blocked: Vec<usize>,
}

/// Size and shape of a fleet.
pub(crate) struct Shape {
    pub(crate) connections: u32,
    pub(crate) rooms: u32,
    pub(crate) sources: u8,
}

impl Shape {
    /// Number of the user behind a connection. Every shape has users of its own, who are in the rooms that it needs and in no
    /// others.
    fn user(&self, index: u32) -> u64 {
        u64::from(self.rooms) << 48 ^ u64::from(self.connections) << 24 ^ u64::from(index)
    }
}

impl Fleet {
    /// Connects everyone, creates the rooms, joins and subscribes. Blocking; progress on stderr.
    pub(crate) fn open(target: &Target, shape: &Shape, tokens: &mut TokenSource<'_>) -> Result<Self> {
        if shape.rooms == 0 || shape.connections < shape.rooms {
            bail!("every room needs a member: use at least as many connections as rooms");
        }
        raise_open_files(shape.connections)?;
        let mut keys = Keys::new()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // By edge: it is never read.
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), edge)?;
        let mut fleet = Self {
            clients: Vec::with_capacity(shape.connections as usize),
            rooms: Vec::new(),
            epoll,
            timer,
            ready: Vec::with_capacity(1024),
            buffer: vec![0; 64 << 10],
            blocked: Vec::new(),
        };
        for index in 0..shape.connections {
            let source = 1 + u8::try_from(index % u32::from(shape.sources.max(1))).unwrap_or(0);
            let mut client = Client::open(target.addr, source)
                .with_context(|| format!("connection {} of {}", index + 1, shape.connections))?;
            let (_, token) = tokens(shape.user(index))?;
            let re = client.next_re();
            client.ask(re, &format!("{{\"id\":{re},\"op\":\"hello\",\"token\":\"{token}\"}}"))?;
            let known = room_of(&mut client)?;
            if index < shape.rooms {
                match known {
                    Some(room) => fleet.rooms.push(room),
                    None => fleet.create_room(&mut client, &mut keys)?,
                }
            } else if known.is_none() {
                let room = fleet.rooms[(index % shape.rooms) as usize];
                let (re, key) = (client.next_re(), keys.next());
                client.ask(
                    re,
                    &format!("{{\"id\":{re},\"op\":\"join\",\"room\":\"{room}\",\"key\":\"{key}\"}}"),
                )?;
            }
            let room = fleet.rooms[(index % shape.rooms) as usize];
            let re = client.next_re();
            client.ask(re, &format!("{{\"id\":{re},\"op\":\"subscribe\",\"room\":\"{room}\"}}"))?;
            client.socket.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(u64::from(index));
            epoll::add(&fleet.epoll, client.socket.as_fd(), data, epoll::EventFlags::IN)?;
            fleet.clients.push(client);
            if (index + 1) % 1_000 == 0 {
                progress(&format!("{} of {} connections", index + 1, shape.connections));
            }
            // The others must not fill their sockets with the joins of their room.
            if index % 64 == 0 {
                fleet.poll(Duration::ZERO, |_, _, _| {})?;
            }
        }
        fleet.poll(Duration::from_millis(200), |_, _, _| {})?;
        while fleet.poll(Duration::from_millis(20), |_, _, _| {})? > 0 {}
        Ok(fleet)
    }

    fn create_room(&mut self, client: &mut Client, keys: &mut Keys) -> Result<()> {
        let (re, key) = (client.next_re(), keys.next());
        let create = format!(
            "{{\"id\":{re},\"op\":\"create\",\"key\":\"{key}\",\"kind\":\"public\",\"name\":\"bench {key}\"}}"
        );
        let answer = client.ask(re, &create)?;
        let room = answer["room"].as_str().and_then(RoomId::parse).context("`create` named no room")?;
        self.rooms.push(room);
        Ok(())
    }

    /// Waits up to `time` for input and hands every frame to `each` with its connection. Returns the number of
    /// connections that had input.
    pub(crate) fn poll(
        &mut self,
        time: Duration,
        mut each: impl FnMut(usize, &mut Vec<u8>, &str),
    ) -> Result<usize> {
        let timespec = |seconds: u64, nanos: u32| Timespec {
            tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX),
            tv_nsec: nanos.into(),
        };
        let poll_only = timespec(0, 0);
        let it_value = timespec(time.as_secs(), time.subsec_nanos());
        timerfd_settime(
            &self.timer,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: poll_only, it_value },
        )?;
        self.ready.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.ready);
        match epoll::wait(&self.epoll, spare, time.is_zero().then_some(&poll_only)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut scratch = Vec::new();
        self.ready.retain(|event| event.data.u64() != TIMER);
        for event in &self.ready {
            let index = event.data.u64() as usize;
            let client = &mut self.clients[index];
            client.receive(&mut self.buffer, |text| each(index, &mut scratch, text))?;
            client.flush()?;
        }
        Ok(self.ready.len())
    }

    /// Sends `text` on a connection, now or as soon as its socket takes it.
    pub(crate) fn send(&mut self, index: usize, text: &str) -> Result<()> {
        self.clients[index].queue(text);
        if !self.clients[index].flush()? && !self.blocked.contains(&index) {
            self.blocked.push(index);
        }
        Ok(())
    }

    /// Tries again what did not fit.
    pub(crate) fn flush_blocked(&mut self) -> Result<()> {
        let mut left = Vec::new();
        for index in std::mem::take(&mut self.blocked) {
            if !self.clients[index].flush()? {
                left.push(index);
            }
        }
        self.blocked = left;
        Ok(())
    }

    pub(crate) fn close(self) {
        for client in self.clients {
            client.close();
        }
    }
}

/// The room that the user is in from an earlier run of the same shape on the same data directory. Setting up then costs
/// no joins, and a server that was restarted in between holds what idle members need and nothing else.
fn room_of(client: &mut Client) -> Result<Option<RoomId>> {
    let re = client.next_re();
    let answer = client.ask(re, &format!("{{\"id\":{re},\"op\":\"sync\",\"limit\":1}}"))?;
    Ok(answer["rooms"][0]["room"].as_str().and_then(RoomId::parse))
}

#[expect(clippy::print_stderr, reason = "progress of a long set-up belongs on stderr")]
pub(crate) fn progress(text: &str) {
    eprintln!("bench: {text}");
}

/// Raises the soft limit of open files to the hard one, and says when that is not enough.
fn raise_open_files(connections: u32) -> Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let needed = u64::from(connections) + 64;
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
    }
    match limit.current {
        Some(current) if current < needed => bail!(
            "{connections} connections need {needed} open files and the hard limit is {current}: run several \
             generators, or raise the limit (ulimit -Hn)"
        ),
        _ => Ok(()),
    }
}
