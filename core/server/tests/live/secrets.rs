//! What must not be seen is not seen: in no log, error, page of the admin listener, process list or environment; and a crash leaves no
//! memory on the disk.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use crate::people::{as_user, code, sign_in, socket};
use crate::support::http::Http;
use crate::support::{Chatter, LYNK, NO_RATES, Server, serve_command};

/// Something to be looked for, in every form that a program would print it in.
struct Secret {
    name: String,
    forms: Vec<Vec<u8>>,
}

impl Secret {
    /// A secret that is a text, such as a password, a code or a token.
    fn text(name: &str, text: &Value) -> Self {
        let text = text.as_str().expect("a text");
        assert!(text.len() >= 6, "{name} is too short to be looked for");
        Self { name: name.to_owned(), forms: vec![text.as_bytes().to_vec()] }
    }

    /// A secret that is bytes, such as a key: as they are, in hexadecimal, as a list of numbers, and in base64 wherever it begins.
    fn bytes(name: &str, bytes: &[u8]) -> Self {
        let part = bytes.get(..16).expect("no key is so short");
        let list = part.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms =
            vec![part.to_vec(), list.into_bytes(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
        for skipped in 0..3 {
            // Whole groups of three bytes, whatever stands before the secret.
            let whole = part.get(skipped..skipped + 12).expect("16 bytes");
            forms.extend([STANDARD.encode(whole).into_bytes(), URL_SAFE.encode(whole).into_bytes()]);
        }
        Self { name: name.to_owned(), forms }
    }

    /// A private key in PEM: any line of it.
    fn pem(name: &str, pem: &str) -> Self {
        let lines = pem.lines().filter(|line| !line.starts_with('-') && line.len() >= 40);
        let forms: Vec<_> = lines.map(|line| line.as_bytes().to_vec()).collect();
        assert!(!forms.is_empty(), "{name} is no key");
        Self { name: name.to_owned(), forms }
    }

    /// Whether it is in `place`. Digits count when no digit is beside them: a counter may contain the six of a code.
    fn is_in(&self, place: &[u8]) -> bool {
        self.forms.iter().any(|form| {
            let digits = form.iter().all(u8::is_ascii_digit);
            let beside = |at: Option<usize>| at.and_then(|at| place.get(at)).is_some_and(u8::is_ascii_digit);
            place.windows(form.len()).enumerate().any(|(at, part)| {
                part == form && !(digits && (beside(at.checked_sub(1)) || beside(Some(at + form.len()))))
            })
        })
    }
}

/// The secrets of the outside systems that this run of the tests has.
fn outside() -> Vec<Secret> {
    let Some(path) = std::env::var_os("LYNK_SERVICES") else { return Vec::new() };
    let env = fs::read_to_string(path).expect("scripts/services wrote it");
    let read = |path: &str| fs::read_to_string(path).expect("readable");
    let lines = env.lines().filter_map(|line| line.split_once('='));
    lines
        .filter_map(|(name, path)| match name {
            name if name.ends_with("_PASSWORD_FILE") => Some(Secret::text(name, &read(path).trim().into())),
            name if name.ends_with("_KEY") => Some(Secret::pem(name, &read(path))),
            _ => None,
        })
        .collect()
}

/// The key that signs, and the server's secret.
fn kept(data: &Path) -> Vec<Secret> {
    let der = fs::read(data.join("keys/access.p8")).expect("the server made it");
    // PKCS#8 of Ed25519: the seed is an octet string of 32 bytes inside of one of 34.
    let at = der.windows(4).position(|four| four == [0x04, 0x22, 0x04, 0x20]).expect("a key of Ed25519");
    let seed = der.get(at + 4..at + 36).expect("32 bytes");
    let secret = fs::read(data.join("keys/server.secret")).expect("the server made it");
    vec![Secret::bytes("signing key", seed), Secret::bytes("server's secret", &secret)]
}

#[test]
fn what_looks_for_secrets_finds_them() {
    let key = Secret::bytes("key", b"0123456789abcdefXYZ");
    for shown in [
        "..0123456789abcdef",
        "30313233343536373839616263646566",
        "[48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 97, 98, 99, 100, 101, 102]",
    ] {
        assert!(key.is_in(shown.as_bytes()), "{shown}");
    }
    for before in ["", "a", "ab", "abc"] {
        assert!(key.is_in(STANDARD.encode(format!("{before}0123456789abcdefXYZ")).as_bytes()), "{before:?}");
    }
    assert!(!key.is_in(b"0123456789abcdeX"));
    let code = Secret::text("code", &json!("123456"));
    assert!(
        code.is_in(b"code=123456.")
            && code.is_in(b"123456")
            && !code.is_in(b"1234567")
            && !code.is_in(b"0123456")
    );
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", "A".repeat(64));
    assert!(Secret::pem("pem", &pem).is_in(format!("x {}", "A".repeat(64)).as_bytes()));
}

#[test]
fn no_secret_is_in_a_log_an_error_a_page_the_process_list_or_an_environment() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let data = temp.path().join("data");
    let errors = temp.path().join("stderr");
    let options = [&NO_RATES[..], &["--set", "sms.console=file", "--set", "log.level=debug"]].concat();
    let mut command = serve_command(&data, &options);
    command.stderr(File::create(&errors).expect("writable"));
    let server = Server::spawn(command, &data);
    let mut secrets = kept(&data);
    secrets.extend(outside());

    // People come in by every way that there is, and everything that can be wrong about a secret is tried.
    let number = "+4915112345601";
    let alice = sign_in(&server, &data, number, "alice");
    let (mut hers, ticket) = socket(&server, &alice);
    let room = hers.create();
    hers.say(&room, "hello");
    let mut http = as_user(&server, &alice);
    let body = json!({"refresh_token": alice["refresh_token"]});
    let turned = http.good("POST", "/v1/auth/refresh", body, 200);
    let mut answers = Vec::new();
    let mut told = |answer: Vec<u8>| answers.push(answer);
    // Some refusals end the connection.
    let guest = || Http::connect(&server.address);
    for body in [
        json!({"request_id": "nonsense", "code": code(&data, number, 0), "device": "test"}),
        json!({"refresh_token": format!("{}x", alice["refresh_token"].as_str().expect("a text"))}),
        json!({"refresh_token": 7, "was": alice["refresh_token"]}),
    ] {
        for path in ["/v1/auth/verify", "/v1/auth/refresh", "/v1/auth/nothing"] {
            told(guest().ask("POST", path, Some(&body)).body);
        }
    }
    for token in [&alice["access_token"], &alice["refresh_token"]] {
        let token = format!("{}x", token.as_str().expect("a text"));
        let mut guest = guest();
        guest.token = Some(token.clone());
        told(guest.ask("GET", "/v1/me", None).body);
        let mut socket = Chatter::connect(&server);
        socket.tell(json!({"op": "hello", "token": token}));
        while let Some(frame) = socket.next() {
            told(frame.to_string().into_bytes());
        }
        told(format!("{:?}", socket.closed).into_bytes());
    }
    let mut again = Chatter::connect(&server);
    again.tell(json!({"op": "hello", "ticket": ticket}));
    while let Some(frame) = again.next() {
        told(frame.to_string().into_bytes());
    }
    again = Chatter::connect(&server);
    again.sender.text(&format!("{{\"op\": \"hello\", \"token\": {}", alice["access_token"])).expect("sent");
    while let Some(frame) = again.next() {
        told(frame.to_string().into_bytes());
    }
    secrets.push(Secret::text("code", &code(&data, number, 0).into()));
    secrets.push(Secret::text("ticket", &ticket));
    for (when, session) in [("first", &alice), ("turned", &turned)] {
        for field in ["access_token", "refresh_token"] {
            secrets.push(Secret::text(&format!("{when} {field}"), &session[field]));
        }
    }

    let mut places: Vec<(String, Vec<u8>)> = Vec::new();
    places.extend(answers.into_iter().map(|answer| ("an answer".to_owned(), answer)));
    for path in ["/metrics", "/livez", "/readyz", "/startupz", "/version", "/nothing"] {
        places.push((path.to_owned(), server.get(path).1.into_bytes()));
    }
    for arguments in [
        &["keys", "list"][..],
        &["keys", "list", "-o", "json"],
        &["doctor"],
        &["verify"],
        &["config", "check"],
    ] {
        let output = Command::new(LYNK).args(arguments).arg("--data").arg(&data).output().expect("started");
        places.push((format!("lynk {arguments:?}"), [output.stdout, output.stderr].concat()));
    }
    for process in fs::read_dir("/proc").expect("Linux").filter_map(Result::ok) {
        for file in ["cmdline", "environ", "comm"] {
            // What ends meanwhile, and what belongs to somebody else, cannot be read.
            let Ok(text) = fs::read(process.path().join(file)) else { continue };
            let ours = process.file_name().to_str() == Some(&server.pid().to_string());
            // The S3 server of the tests takes its secret in no other way.
            let comm = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            if (file != "environ" || ours) && comm.trim_end() != "s3s-fs" {
                places.push((format!("{}/{file}", process.path().display()), text));
            }
        }
    }
    let own = format!("/proc/{}/cmdline", server.pid());
    assert!(places.iter().any(|(name, text)| *name == own && !text.is_empty()), "the server is in the list");
    server.signal(rustix::process::Signal::HUP);
    server.wait_logged("reloaded");
    let log = server.log_text();
    assert!(log.contains("ready") && log.contains("reloaded"), "{log}");
    assert!(server.stop().success());
    places.push(("the log".to_owned(), log.into_bytes()));
    places.push(("standard error".to_owned(), fs::read(&errors).expect("readable")));

    for secret in &secrets {
        for (name, text) in &places {
            assert!(!secret.is_in(text), "the {} is in {name}", secret.name);
        }
    }
    // And the other way round: they are where they belong, so they were looked for in the right form.
    let (key, secret) = (fs::read(data.join("keys/access.p8")), fs::read(data.join("keys/server.secret")));
    assert!(secrets[0].is_in(&key.expect("readable")) && secrets[1].is_in(&secret.expect("readable")));
    let sent = fs::read(data.join("dev-sms.txt")).expect("readable");
    assert!(secrets.iter().any(|secret| secret.name == "code" && secret.is_in(&sent)));
}

/// `lynk serve` in a directory and with a limit in which a core file would be written.
///
/// Shells start background jobs with SIGQUIT ignored, which programs inherit: the signal is set to what it does by default.
fn with_cores(place: &Path, run: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.args([
        "--default-signal=QUIT",
        "sh",
        "-c",
        "ulimit -S -c unlimited 2>/dev/null || ulimit -S -c \"$(ulimit -H -c)\"; exec \"$@\"",
        "sh",
    ]);
    command.args(run).current_dir(place);
    command
}

fn core_files(place: &Path) -> Vec<String> {
    let names =
        fs::read_dir(place).expect("readable").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with("core")).collect()
}

#[test]
fn a_crash_writes_no_core() {
    let temp = tempfile::tempdir().expect("temporary directory");
    // What proves that a core would be written here: a process that is not ours.
    let other = temp.path().join("other");
    fs::create_dir(&other).expect("writable");
    let mut sleeper = with_cores(&other, &["sleep", "60"]).process_group(0).spawn().expect("started");
    while fs::read_to_string(format!("/proc/{}/comm", sleeper.id())).expect("it runs").trim() != "sleep" {
        std::thread::yield_now();
    }
    let kill =
        |pid: rustix::process::Pid, signal| rustix::process::kill_process(pid, signal).expect("it runs");
    kill(rustix::process::Pid::from_child(&sleeper), rustix::process::Signal::ABORT);
    if !sleeper.wait().expect("it ends").core_dumped() {
        eprintln!(
            "SKIPPED in part: this machine writes no core of any process, so nothing is proven by ours"
        );
    }
    for signal in
        [rustix::process::Signal::ABORT, rustix::process::Signal::ILL, rustix::process::Signal::QUIT]
    {
        let place = temp.path().join(format!("{}", signal.as_raw()));
        fs::create_dir(&place).expect("writable");
        let data = place.join("data");
        let serve = serve_command(&data, &[]);
        let run: Vec<_> =
            [LYNK].into_iter().chain(serve.get_args().map(|one| one.to_str().expect("Unicode"))).collect();
        let mut command = with_cores(&place, &run);
        command.stderr(Stdio::null());
        let mut server = Server::spawn(command, &data);
        let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).expect("readable");
        let cores = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
        assert_eq!(cores.split_whitespace().nth(4), Some("0"), "{cores}");
        server.signal(signal);
        let status = server.wait();
        assert_eq!((status.signal(), status.core_dumped()), (Some(signal.as_raw()), false));
        assert!(core_files(&place).is_empty() && core_files(&data).is_empty());
    }
}
