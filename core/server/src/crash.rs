//! What is left of a crash, and the refusal to crash for ever.
//!
//! A panic anywhere ends the process: state that a bug has touched is worth nothing, the journal is. The hook writes
//! one line to standard error and one to the file `crashes`, both naming the shard and the kind of input, neither
//! with anything a user wrote: a message computed at run time may quote text, so only literal ones are told.
//!
//! Three crashes within a minute on the same kind of input would repeat for ever under a supervisor. The next start
//! refuses and says so; nothing is skipped silently. `serve --after-crashes` starts once more.
//!
//! Thread: the hook runs on the thread that panics. What can fail: writing the file; then the crash is not counted.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};

use crate::exit::Failure;
use crate::os::wall_millis;

/// So many crashes …
const CRASHES: usize = 3;
/// … within this time, on the same kind of input, refuse the next start.
const WINDOW_MILLIS: u64 = 60_000;
/// Longest file that is looked at; a longer one is not ours.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The crashes of one data directory.
#[derive(Clone, Debug)]
pub(crate) struct Crashes {
    path: PathBuf,
}

impl Crashes {
    /// The crashes kept in the data directory `root`.
    pub(crate) fn new(root: &Path) -> Self {
        Self { path: root.join("crashes") }
    }

    /// Refuses a start that would most likely crash again.
    ///
    /// # Errors
    /// The last crashes were close together and on the same kind of input.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let short = fs::metadata(&self.path).is_ok_and(|file| file.len() <= FILE_BYTES_MAX);
        let text = if short { fs::read_to_string(&self.path).unwrap_or_default() } else { String::new() };
        let Some(doing) = looping(&text) else { return Ok(()) };
        Err(Failure::dependency(format!(
            "the last {CRASHES} starts crashed within {} s while handling: {doing}",
            WINDOW_MILLIS / 1_000
        ))
        .cure(format!(
            "keep the lines in {}, run `lynk verify`, upgrade if there is a newer version, and report it; then start once with \
             --after-crashes",
            self.path.display()
        )))
    }

    /// Forgets all crashes.
    pub(crate) fn clear(&self) {
        // A file that is not there is as good as a removed one, and one that cannot be removed only asks again.
        let _ = fs::remove_file(&self.path);
    }

    fn note(&self, doing: &str, place: &str) {
        let line = format!("{} {doing} at {place}\n", wall_millis().0);
        let opened = OpenOptions::new().create(true).append(true).open(&self.path);
        let _ = opened.and_then(|mut file| file.write_all(line.as_bytes()).and_then(|()| file.sync_data()));
    }

    /// Makes every panic of the process end it, with its two lines.
    pub(crate) fn install(self, doing: impl Fn() -> Option<(u16, &'static str)> + Send + Sync + 'static) {
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("unnamed");
            let what = match doing() {
                Some((shard, input)) => format!("shard {shard}, {input}"),
                None => format!("thread {name}"),
            };
            let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
            let line = format!("lynk: crashed: {what}, at {place}{}\n", literal(panic));
            let _ = std::io::stderr().write_all(line.as_bytes());
            // The shard's number says nothing about the cause; the kind of input does.
            let kind = doing().map_or(name, |(_, input)| input);
            self.note(kind, &place);
            std::process::abort();
        }));
    }
}

/// The panic's message if it is a literal of the source.
fn literal(panic: &PanicHookInfo<'_>) -> String {
    match panic.payload().downcast_ref::<&'static str>() {
        Some(text) => format!(": {text}"),
        None => String::new(),
    }
}

/// What the last crashes were handling, if they were a loop.
fn looping(text: &str) -> Option<&str> {
    let crashes: Vec<(u64, &str)> = text
        .lines()
        .rev()
        .take(CRASHES)
        .filter_map(|line| {
            let (at, rest) = line.split_once(' ')?;
            Some((at.parse().ok()?, rest.rsplit_once(" at ").map_or(rest, |(doing, _)| doing)))
        })
        .collect();
    let (&(last, doing), &(first, _)) = (crashes.first()?, crashes.last()?);
    let same = crashes.len() == CRASHES && crashes.iter().all(|(_, kind)| *kind == doing);
    (same && last.saturating_sub(first) <= WINDOW_MILLIS).then_some(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_crashes_in_a_minute_on_the_same_input_are_a_loop() {
        let loops = |text: &str| looping(text).map(str::to_owned);
        let three = "100000 text at a.rs:1\n120000 text at a.rs:2\n160000 text at a.rs:1\n";
        assert_eq!(loops(three), Some("text".to_owned()));
        assert_eq!(loops("1 text at a\n2 text at a\n"), None);
        assert_eq!(loops("1 text at a\n2 mail at a\n3 text at a\n"), None);
        assert_eq!(loops("100000 text at a\n120000 text at a\n160001 text at a\n"), None);
        assert_eq!(loops(&format!("1 mail at a\n{three}")), Some("text".to_owned()));
        assert_eq!(loops(&format!("{three}170000 mail at a\n")), None);
        assert_eq!(loops("garbage\nmore\n\n"), None);
    }

    /// Names the directory in which the process below crashes.
    const CRASH_IN: &str = "LYNK_TEST_CRASH_IN";

    #[test]
    fn a_panic_ends_the_process_with_one_line_that_quotes_nobody() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let output = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "crash::tests::crash_on_purpose", "--ignored", "--nocapture"])
            .env(CRASH_IN, temp.path())
            .output()
            .expect("it runs");
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(output.status.signal(), Some(6), "aborted");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let lines: Vec<_> = told.lines().filter(|line| line.starts_with("lynk: crashed")).collect();
        assert!(
            matches!(lines[..], [line] if line.contains("shard 3, text, at core/server/src/crash.rs")),
            "{told}"
        );
        assert!(!told.contains("a private message"), "{told}");
        let kept = fs::read_to_string(temp.path().join("crashes")).expect("noted");
        assert!(kept.contains(" text at "), "{kept}");
    }

    #[test]
    #[ignore = "crashes; started by the test above"]
    fn crash_on_purpose() {
        let Some(dir) = std::env::var_os(CRASH_IN) else { return };
        Crashes::new(Path::new(&dir)).install(|| Some((3, "text")));
        let text = String::from("a private message");
        panic!("cannot handle {text}");
    }

    #[test]
    fn a_loop_refuses_the_start_until_it_is_acknowledged() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let crashes = Crashes::new(temp.path());
        crashes.check().expect("nothing crashed");
        for _ in 0..3 {
            crashes.note("text", "engine.rs:1:2");
        }
        let refusal = crashes.check().expect_err("a loop").to_string();
        assert!(refusal.contains("while handling: text") && refusal.contains("--after-crashes"), "{refusal}");
        crashes.clear();
        crashes.check().expect("acknowledged");
    }
}
