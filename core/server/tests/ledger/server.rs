//! A `lynk serve` process of this test. It ends with the value that stands for it.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lynk_server::client::Url;
use serde_json::Value;

/// Time to get ready in. A loaded machine that recovers takes seconds; more is a hang.
const READY_MAX: Duration = Duration::from_secs(120);
/// Lines kept to be shown when a test fails.
const LINES_KEPT: usize = 60;

/// How shards talk to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Backend {
    Uring,
    Epoll,
}

impl Backend {
    fn word(self) -> &'static str {
        match self {
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

/// How to start a server.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) binary: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) shards: u16,
    pub(crate) backend: Backend,
    /// `section.key=value`.
    pub(crate) set: Vec<String>,
    /// A library that is loaded before all others.
    pub(crate) preload: Option<PathBuf>,
}

impl Start {
    /// The tested binary on `data`, with limits that let a few clients offer thousands of messages a second.
    pub(crate) fn new(binary: &Path, data: &Path) -> Self {
        let set = [
            "admin.enabled=false",
            "log.format=json",
            "limits.commands_per_connection_per_second=0",
            "limits.commands_per_account_per_second=0",
            "limits.messages_per_room_per_second=0",
            "limits.connects_per_ip_per_second=0",
            "limits.commands_in_flight_max=255",
            "drain.timeout=3s",
            // Small segments: every run crosses many borders between them.
            "journal.segment_bytes=4MiB",
        ];
        Self {
            binary: binary.to_owned(),
            data: data.to_owned(),
            shards: 1,
            backend: Backend::Epoll,
            set: set.map(str::to_owned).to_vec(),
            preload: None,
        }
    }

    /// Starts the process, without waiting until it serves.
    pub(crate) fn spawn(&self) -> Server {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let (ready, at) = channel();
        let stdout = child.stdout.take().expect("piped");
        let stderr = child.stderr.take().expect("piped");
        let (lines, more) = (Arc::clone(&kept), Arc::clone(&kept));
        let readers = vec![
            std::thread::spawn(move || {
                read_lines(stdout, &lines, |line| {
                    let line: Value = serde_json::from_str(line).unwrap_or_default();
                    if line["event"] == "ready" {
                        let _nobody_waits = ready.send(line);
                    }
                });
            }),
            std::thread::spawn(move || read_lines(stderr, &more, |_| {})),
        ];
        Server { child, ready: at, url: None, admin: None, lines: kept, readers }
    }

    fn command(&self) -> Command {
        let data = self.data.to_str().expect("temporary paths are Unicode");
        let shards = self.shards.to_string();
        let mut words = vec!["serve", "--listen", "127.0.0.1:0", "--data", data, "--shards", &shards];
        words.extend(["--backend", self.backend.word()]);
        words.extend(self.set.iter().flat_map(|set| ["--set", set]));
        let mut command = Command::new(&self.binary);
        command.args(words);
        if let Some(library) = &self.preload {
            command.env("LD_PRELOAD", library);
        }
        command
    }

    /// Starts the process and waits until it serves.
    ///
    /// # Errors
    /// How it ended instead.
    pub(crate) fn run(&self) -> Result<Server, Ended> {
        let mut server = self.spawn();
        server.wait_ready()?;
        Ok(server)
    }

    /// An access token for `user`, and the user's id, from the keys of the data directory.
    pub(crate) fn token(&self, user: &str) -> (String, String) {
        let out = Command::new(&self.binary)
            .args(["token", "--user", user, "--ttl", "24h", "-o", "json", "--data"])
            .arg(&self.data)
            .output()
            .expect("lynk token runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let answer: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        let field = |name: &str| answer[name].as_str().expect("a text").to_owned();
        (field("token"), field("user"))
    }
}

fn read_lines(from: impl Read, kept: &Mutex<VecDeque<String>>, mut see: impl FnMut(&str)) {
    for line in BufReader::new(from).lines() {
        let Ok(line) = line else { return };
        see(&line);
        let mut kept = kept.lock().expect("no panic with this lock");
        if kept.len() == LINES_KEPT {
            kept.pop_front();
        }
        kept.push_back(line);
    }
}

/// A server that ended by itself.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` when it hung and was killed for it.
    pub(crate) code: Option<i32>,
    /// The last lines it wrote.
    pub(crate) lines: String,
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    ready: Receiver<Value>,
    url: Option<Url>,
    admin: Option<String>,
    lines: Arc<Mutex<VecDeque<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Where it serves.
    pub(crate) fn url(&self) -> Url {
        self.url.clone().expect("waited until it was ready")
    }

    /// What the admin listener answers to a GET, head and all. `admin.enabled` must be set.
    pub(crate) fn ask_admin(&self, path: &str) -> String {
        let address = self.admin.as_ref().expect("an admin listener");
        let mut stream = TcpStream::connect(address).expect("the admin listener listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("an open socket");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn wait_ready(&mut self) -> Result<(), Ended> {
        let until = Instant::now() + READY_MAX;
        loop {
            match self.ready.recv_timeout(Duration::from_millis(100)) {
                Ok(ready) => {
                    self.url =
                        Some(Url::parse(ready["address"].as_str().expect("a text")).expect("an address"));
                    self.admin = ready["admin"].as_str().map(str::to_owned);
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < until && self.ended().is_none() => {}
                Err(_) => {
                    // Its output closes a moment before the process has ended.
                    while self.ended().is_none() && Instant::now() < until {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    return Err(self.end());
                }
            }
        }
    }

    /// How it ended by itself, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Waits until it ended by itself, at most `time`; then kills it.
    pub(crate) fn wait(mut self, time: Duration) -> Ended {
        let until = Instant::now() + time;
        while self.ended().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.end()
    }

    fn end(&mut self) -> Ended {
        let code = self.ended().and_then(|status| status.code());
        self.kill_and_wait();
        Ended { code, lines: self.lines() }
    }

    /// The last lines it wrote.
    pub(crate) fn lines(&self) -> String {
        let lines = self.lines.lock().expect("no panic with this lock");
        lines.iter().map(|line| format!("  {line}\n")).collect()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, without waiting for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our own child");
    }

    /// `kill -9` and the end.
    pub(crate) fn kill_and_wait(&mut self) {
        self.kill();
        self.child.wait().expect("our own child");
        for reader in self.readers.drain(..) {
            reader.join().expect("reading lines does not panic");
        }
    }

    /// SIGTERM: drains and ends.
    pub(crate) fn stop(self) -> Ended {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("our own child");
        self.wait(READY_MAX)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}
