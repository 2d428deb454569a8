//! The socket `control` in the data directory, by which commands ask the server that serves from it.
//!
//! Only the server's own user and root may speak to it: the file has mode 0600 and the kernel tells who is at the other end. One line of JSON
//! asks; lines of JSON answer: `{"stage": …}` while it goes on, at last `{"done": …}` or `{"failed": …, "cure": …, "exit": …}`. An asker that
//! goes away gives up what it asked for.
//!
//! Thread: `control`, and one beside it that makes copies, one at a time; further askers wait. Questions are read, and those about accounts
//! answered, on threads of their own, so that a suspension waits for no backup. Limits: [`ASKERS_MAX`] connections whose question is not read yet, further ones are
//! closed; a question has [`QUESTION_BYTES_MAX`] and [`QUESTION_TIME`]. What can fail: the socket cannot be made, which a start refuses.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use lynk_embedded::MessageLog;
use lynk_push::PushDesk;
use lynk_store::Tap;
use serde_json::{Value, json};

use super::{Progress, backup, copies_soon, moving};
use crate::config::{Config, MessagesIn, Sources, load};
use crate::data_dir::refused;
use crate::exit::{Exit, Failure};

/// Name of the socket.
const SOCKET: &str = "control";
const QUESTION_BYTES_MAX: u64 = 64 << 10;
const QUESTION_TIME: Duration = Duration::from_secs(5);
/// Longest wait for an asker that does not read.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// How long an asker waits for the first word before it is told that another one has its turn.
const FIRST_WORD_TIME: Duration = Duration::from_secs(2);
/// Time between two looks for an asker.
const LOOK: Duration = Duration::from_millis(50);

/// Connections at a time that have not asked, or ask about accounts.
const ASKERS_MAX: usize = 16;

/// Answers questions about accounts.
pub(crate) type AskAccounts = Arc<dyn Fn(&Value) -> Result<Value, Failure> + Send + Sync>;

/// Who answers them, until accounts end.
type Accounts = Arc<Mutex<Option<AskAccounts>>>;

/// Path of the socket by way of the open directory: the path of a socket may have 107 bytes only.
fn short_path(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))
}

/// What the control thread works with.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) root: PathBuf,
    pub(crate) installation: String,
    pub(crate) log: Option<MessageLog>,
    pub(crate) tap: Tap,
    /// Notifications, where there are any.
    pub(crate) desk: Option<PushDesk>,
    /// By which bytes of files stay while they are copied, where there are any.
    pub(crate) keep: Option<lynk_media::Keep>,
}

/// The running thread.
pub(crate) struct Control {
    stop: Arc<AtomicBool>,
    /// A move ended the server and then failed.
    failed: Arc<AtomicBool>,
    accounts: Accounts,
    thread: JoinHandle<()>,
    root: PathBuf,
}

impl Control {
    /// Makes the socket and starts the thread.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub(crate) fn start(parts: Parts, accounts: AskAccounts) -> Result<Self, Failure> {
        let path = parts.root.join(SOCKET);
        let failed = |error: std::io::Error| refused(&path, &error);
        let directory = File::open(&parts.root).map_err(failed)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            // Of a process that died: this one holds the directory's lock.
            _ => {}
        }
        let listener = UnixListener::bind(short_path(&directory)).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let (stop, root) = (Arc::new(AtomicBool::new(false)), parts.root.clone());
        let failed = Arc::new(AtomicBool::new(false));
        let flags = (Arc::clone(&stop), Arc::clone(&failed));
        let accounts = Arc::new(Mutex::new(Some(accounts)));
        let answers = Arc::clone(&accounts);
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || serve(&listener, parts, &flags.0, &flags.1, &answers))?;
        Ok(Self { stop, failed, accounts, thread, root })
    }

    /// Answers nothing about accounts any more: they can end.
    pub(crate) fn close_accounts(&self) {
        drop(self.accounts.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Takes no further questions.
    pub(crate) fn close(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Waits until what was asked for has come to its end. The store bridge must have ended, which ends copies.
    ///
    /// # Errors
    /// A move ended the server and then failed: whoever supervises the process should start it again.
    pub(crate) fn join(self) -> Result<(), Failure> {
        self.close();
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
        let _next_start_does_it_else = std::fs::remove_file(self.root.join(SOCKET));
        if self.failed.load(Ordering::Acquire) {
            return Err(Failure::dependency(
                "the move for which the server ended has failed: nothing was switched",
            )
            .cure("start the server again with its old configuration; the log says what stood in the way"));
        }
        Ok(())
    }
}

fn serve(
    listener: &UnixListener,
    mut parts: Parts,
    stop: &AtomicBool,
    failed: &AtomicBool,
    accounts: &Accounts,
) {
    let (asked, questions) = channel::<Asked>();
    let askers = Arc::new(());
    std::thread::scope(|scope| {
        let parts = &mut parts;
        scope.spawn(move || {
            while !stop.load(Ordering::Acquire) {
                if let Ok((stream, question)) = questions.recv_timeout(LOOK) {
                    answer(&stream, &question, parts, stop, failed);
                }
            }
        });
        while !stop.load(Ordering::Acquire) {
            let Ok((stream, _)) = listener.accept() else {
                std::thread::sleep(LOOK);
                continue;
            };
            // Whoever is one too many is told by the end of the connection.
            if Arc::strong_count(&askers) > ASKERS_MAX {
                continue;
            }
            let (asked, accounts, one_of_them) = (asked.clone(), Arc::clone(accounts), Arc::clone(&askers));
            let read = move || {
                read(stream, &accounts, &asked);
                drop(one_of_them);
            };
            // Without a thread the connection ends.
            let _thread = std::thread::Builder::new().name("asker".to_owned()).spawn(read);
        }
    });
}

/// A connection with what it asked for.
type Asked = (UnixStream, Value);

/// Reads a question, and answers it if it is about accounts; others get in line.
fn read(stream: UnixStream, accounts: &Accounts, asked: &Sender<Asked>) {
    let set = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_read_timeout(Some(QUESTION_TIME)))
        .and_then(|()| stream.set_write_timeout(Some(ANSWER_TIME)));
    if set.is_err() || !may_ask(&stream) {
        return;
    }
    let mut line = String::new();
    if BufReader::new((&stream).take(QUESTION_BYTES_MAX)).read_line(&mut line).is_err() {
        return;
    }
    let question = serde_json::from_str::<Value>(&line);
    let answer = match question {
        Ok(question) if question["op"] == "accounts" => {
            let ask = accounts.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let ends = || Failure::dependency("the server ends").cure("ask the one that comes after it");
            ask.ok_or_else(ends).and_then(|ask| ask(&question))
        }
        Ok(question) => {
            let _the_server_ends = asked.send((stream, question));
            return;
        }
        Err(_) => Err(Failure::new(Exit::Usage, "the question is no JSON")),
    };
    let _gone = (&stream).write_all(format!("{}\n", last_word(&answer)).as_bytes());
}

/// The line that ends an answer.
fn last_word(result: &Result<Value, Failure>) -> Value {
    match result {
        Ok(done) => json!({"done": done}),
        Err(failure) => {
            json!({"failed": failure.what(), "cure": failure.cure_text(), "exit": failure.exit() as u8})
        }
    }
}

/// Whether the one at the other end may ask.
fn may_ask(stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid();
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == ours || peer.uid.is_root())
}

/// Whether the one at the other end is there. It has said all that it had to say.
fn listens(stream: &UnixStream) -> bool {
    use rustix::net::{RecvFlags, recv};
    !matches!(recv(stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((_, 0)))
}

fn answer(stream: &UnixStream, asked: &Value, parts: &mut Parts, stop: &AtomicBool, failed: &AtomicBool) {
    let mut say = |value: &Value| (&mut &*stream).write_all(format!("{value}\n").as_bytes()).is_ok();
    // It may have gone away while another one had its turn.
    if !say(&json!({"stage": "the server begins"})) {
        return;
    }
    // The end of the server is that of a backup, which has nothing to do with it; a move makes it.
    let ends = || asked["op"] != "move" && stop.load(Ordering::Acquire);
    let listens = || listens(stream) && !ends();
    let result = carry_out(asked, parts, stop, Progress::new(&mut say).looking(&listens));
    let ended_for_it = asked["op"] == "move" && stop.load(Ordering::Acquire);
    failed.store(ended_for_it && result.is_err(), Ordering::Release);
    let _gone = say(&last_word(&result));
}

/// A question for a move to the stores of a configuration, which the server reads itself.
pub(crate) fn move_question(sources: &Sources, verify: bool) -> Result<Value, Failure> {
    let file = sources.file.as_ref().map(std::path::absolute).transpose()?;
    // Others are none of ours, and nobody else's business.
    let environment: Vec<_> =
        sources.environment.iter().filter(|(name, _)| name.starts_with("LYNK__")).collect();
    Ok(json!({
        "op": "move", "file": file.map(|file| file.to_string_lossy().into_owned()), "environment": environment,
        "flags": sources.flags, "verify": verify,
    }))
}

fn sources_of(asked: &Value) -> Result<Sources, Failure> {
    let pairs = |name: &str| -> Result<Vec<(String, String)>, Failure> {
        serde_json::from_value(asked[name].clone())
            .map_err(|_| Failure::new(Exit::Usage, format!("{name} of the question is no list of pairs")))
    };
    let file = asked["file"].as_str().map(PathBuf::from);
    Ok(Sources { file, environment: pairs("environment")?, flags: pairs("flags")? })
}

fn carry_out(
    asked: &Value,
    parts: &mut Parts,
    stop: &AtomicBool,
    progress: Progress<'_>,
) -> Result<Value, Failure> {
    let Parts { config, root, installation, log, tap, desk, keep } = parts;
    match asked["op"].as_str() {
        Some("backup") => {
            let target = Path::new(asked["to"].as_str().unwrap_or_default());
            let files = asked["without_files"] != true;
            let stores = backup::Stores { config, root, log: log.clone(), files };
            tracing::info!(event = "backup_began", target = %target.display(), "a backup was asked for");
            let kept = keep.as_ref().filter(|_| files).map(lynk_media::Keep::hold);
            let done = backup::run(&stores, Some(tap), target, progress);
            drop(kept);
            match &done {
                Ok(told) => {
                    tracing::info!(event = "backup_done", target = %target.display(), told = %told, "backup made")
                }
                Err(failure) => {
                    tracing::error!(event = "backup_failed", target = %target.display(), "{failure}")
                }
            }
            done
        }
        Some("move") => {
            let to = copies_soon(load(&sources_of(asked)?)?.config);
            let moved = moving::Move {
                from: config,
                to: &to,
                root,
                installation: installation.clone(),
                log: log.clone(),
                verify: asked["verify"] == true,
            };
            tracing::info!(event = "move_began", "a move to outside stores was asked for");
            let done = moving::run(&moved, Some(moving::Server { tap, ended: stop }), progress);
            match &done {
                Ok(told) => tracing::info!(event = "moved", told = %told, "the stores were switched"),
                Err(failure) => tracing::error!(event = "move_failed", "nothing was switched: {failure}"),
            }
            done
        }
        Some("why") => why(config, log.as_ref(), tap, desk.as_ref(), asked),
        Some("dead") => crate::push::dead(desk.as_ref(), asked),
        Some("revive") => crate::push::revive(desk.as_ref(), asked),
        _ => Err(Failure::new(Exit::Usage, "the server does not know this question")
            .cure("use the lynk that the server runs")),
    }
}

/// What became of a message for somebody, from whichever log there is.
fn why(
    config: &Config,
    log: Option<&MessageLog>,
    tap: &mut Tap,
    desk: Option<&PushDesk>,
    asked: &Value,
) -> Result<Value, Failure> {
    let runtime = crate::stores::runtime()?;
    match (config.outside.messages, log) {
        (MessagesIn::Embedded, Some(log)) => crate::push::why(asked, log, &runtime, tap, desk),
        (MessagesIn::Embedded, None) => Err(Failure::dependency("the message log is not open")),
        (MessagesIn::Cassandra, _) => {
            #[cfg(feature = "cassandra")]
            {
                let log = crate::stores::cassandra::log(config, String::new(), &runtime)?;
                crate::push::why(asked, &log, &runtime, tap, desk)
            }
            #[cfg(not(feature = "cassandra"))]
            unreachable!("the configuration is refused by a build without it")
        }
    }
}

/// Asks the server that serves from `root`; `tell` hears how far it is.
///
/// # Errors
/// What the server says, or that it does not answer.
pub(crate) fn ask(root: &Path, question: &Value, tell: &mut dyn FnMut(&Value)) -> Result<Value, Failure> {
    let path = root.join(SOCKET);
    let failed = |error: std::io::Error| {
        refused(&path, &error).cure("ask as the user that the server runs as, once it is ready")
    };
    let directory = File::open(root).map_err(failed)?;
    let stream = UnixStream::connect(short_path(&directory)).map_err(failed)?;
    (&stream).write_all(format!("{question}\n").as_bytes()).map_err(failed)?;
    stream.set_read_timeout(Some(FIRST_WORD_TIME)).map_err(failed)?;
    let (mut answers, mut line) = (BufReader::new(&stream), String::new());
    loop {
        match answers.read_line(&mut line) {
            Ok(0) => break,
            Ok(_) => stream.set_read_timeout(None).map_err(failed)?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                tell(&json!({"stage": "waiting: the server makes one copy at a time"}));
                stream.set_read_timeout(None).map_err(failed)?;
                continue;
            }
            Err(error) => return Err(failed(error)),
        }
        let told: Value = serde_json::from_str(&line)
            .map_err(|_| Failure::dependency("the server's answer cannot be read"))?;
        line.clear();
        if let Some(done) = told.get("done") {
            return Ok(done.clone());
        }
        let Some(what) = told["failed"].as_str() else {
            tell(&told);
            continue;
        };
        let exits = [Exit::Failure, Exit::Usage, Exit::Config];
        let exit = exits.into_iter().find(|exit| told["exit"] == *exit as u8).unwrap_or(Exit::Dependency);
        let failure = Failure::new(exit, what);
        return Err(match told["cure"].as_str() {
            Some(cure) => failure.cure(cure),
            None => failure,
        });
    }
    Err(Failure::dependency("the server ended before it was done")
        .cure("see its log; the file STORES in the data directory says where the data is"))
}
