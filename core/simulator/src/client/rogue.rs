//! Clients that no server wants. Nothing is checked about what they get; that everyone else is well is the check.

use lynk_domain::{SessionId, UserId};

use super::link::{Link, Read, Stage, garbage};
use super::{Around, Stepped};
use crate::random::Random;

/// What is wrong with a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Vice {
    /// Sends bytes that are no frames, or frames that are no commands.
    Garbage,
    /// Sends far more than it may, and answers no ping.
    Flood,
    /// Subscribes and never reads again.
    Deaf,
    /// Connects and says nothing, or half a request.
    Silent,
}

/// A client with a vice. Comes back when it is thrown out.
#[derive(Debug)]
pub(crate) struct Rogue {
    vice: Vice,
    user: UserId,
    session: SessionId,
    random: Random,
    link: Option<Link>,
    connect_at: u64,
    said: u64,
}

impl Rogue {
    pub(crate) fn new(vice: Vice, user: UserId, mut random: Random) -> Self {
        let session = SessionId(random.bytes());
        let connect_at = random.below(300_000_000);
        Self { vice, user, session, random, link: None, connect_at, said: 0 }
    }

    /// One step of mischief.
    pub(crate) fn step(&mut self, s: &mut Around<'_>) -> Stepped {
        if s.settling {
            let touched = self.link.as_ref().map(|l| l.socket);
            self.drop_link(s);
            return Stepped { next: None, touched };
        }
        let mut touched = None;
        if self.link.is_none() {
            if s.now < self.connect_at {
                return Stepped { next: Some(self.connect_at), touched };
            }
            self.connect_at = s.now + self.random.delay(400_000_000);
            let Some(socket) = s.network.open() else {
                return Stepped { next: Some(self.connect_at), touched };
            };
            self.link = Some(Link::new(socket, self.random.fork(3)));
            self.said = 0;
            touched = Some(socket);
            if self.vice == Vice::Silent
                && let Some(link) = &mut self.link
            {
                let half = Link::new(socket, self.random.fork(4));
                *link = half;
                link.cut(self.random.between(0, 80) as usize);
            }
        }
        self.read(s);
        self.speak(s);
        if let Some(link) = &mut self.link
            && let Some(socket) = s.network.socket(link.socket)
            && link.flush(socket)
        {
            touched = Some(link.socket);
        }
        let next = if self.link.is_some() { s.now + self.random.delay(10_000_000) } else { self.connect_at };
        Stepped { next: Some(next), touched }
    }

    fn drop_link(&mut self, s: &mut Around<'_>) {
        if let Some(link) = self.link.take()
            && let Some(socket) = s.network.socket(link.socket)
        {
            socket.reset();
        }
    }

    fn read(&mut self, s: &mut Around<'_>) {
        let deaf = self.vice == Vice::Deaf && self.said > 4;
        let Some(link) = self.link.as_mut().filter(|_| !deaf) else { return };
        let Some(socket) = s.network.socket(link.socket) else { return };
        let mut frames = Vec::new();
        link.read(socket, s.buffer, &mut frames);
        for frame in frames {
            match frame {
                Read::Upgraded => link.stage = Stage::Ready,
                Read::Over | Read::Broken(_) => return self.drop_link(s),
                Read::Text(_) => {}
            }
        }
    }

    fn speak(&mut self, s: &mut Around<'_>) {
        let Some(link) = self.link.as_mut().filter(|l| l.stage == Stage::Ready && l.unsent() < 64 << 10)
        else {
            return;
        };
        self.said += 1;
        if self.vice != Vice::Silent && self.said == 1 && self.random.chance(800) {
            let token = s.tokens.token(self.user, self.session, s.server_wall, false);
            link.text(&format!(r#"{{"id":1,"op":"hello","token":"{token}"}}"#));
            return;
        }
        let room = self.random.pick(&s.directory.rooms).copied().unwrap_or_default();
        match self.vice {
            Vice::Silent => {}
            Vice::Garbage => {
                let bytes = garbage(&mut self.random);
                link.raw(&bytes);
            }
            Vice::Flood => {
                for id in 0..self.random.between(10, 120) {
                    let op = ["ping", "sync", "presence", "nonsense"][self.random.index(4)];
                    link.text(&format!(r#"{{"id":{},"op":"{op}","room":"{room}"}}"#, id + 2));
                }
            }
            Vice::Deaf => {
                let key = lynk_domain::Key(lynk_domain::uuid_v7(s.wall.0, self.random.bytes()));
                let op = match self.said % 4 {
                    2 => format!(r#"{{"id":{},"op":"join","room":"{room}","key":"{key}"}}"#, self.said),
                    3 => format!(r#"{{"id":{},"op":"subscribe","room":"{room}"}}"#, self.said),
                    _ => format!(r#"{{"id":{},"op":"history","room":"{room}","all":true}}"#, self.said),
                };
                link.text(&op);
            }
        }
        if self.random.chance(10) {
            self.drop_link(s);
        }
    }
}
