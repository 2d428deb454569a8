//! No secret that a run made is in any log line, error, address, or file.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{SECRET, Server, lax, text};

/// Keeps what is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn no_secret_is_in_a_log_line_an_error_or_a_file() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    // For all threads of this process: the server's are others.
    let _ = tracing::subscriber::set_global_default(subscriber);
    let mut policies = lax();
    policies.codes.per_number_day = 9;
    let server = Server::with(policies);
    let phone = "+4915198765432";
    let mut secrets = vec!["15198765432".to_owned()];
    let mut told = String::new();
    let mut keep = |value: &Value, names: &[&str]| {
        for name in names {
            secrets.push(text(value, name).to_owned());
        }
    };

    let (request, code) = server.code_for(phone);
    let verify = |code: &str| server.post("/v1/auth/verify", &json!({ "request_id": request, "code": code }));
    let wrong = format!("{:06}", (code.parse::<u32>().expect("digits") + 1) % 1_000_000);
    told += &verify(&wrong).body.to_string();
    let proved = verify(&code).ok(200);
    keep(&proved, &["registration"]);
    told += &verify(&code).body.to_string();
    let register = |name: &str| {
        server
            .post("/v1/auth/register", &json!({ "registration": proved["registration"], "user_name": name }))
    };
    told += &register("!").body.to_string();
    let made = register("alice").ok(201);
    told += &register("alice").body.to_string();
    keep(&made, &["access_token", "refresh_token"]);
    let ticket = server.call("POST", "/v1/auth/ticket", Some(text(&made, "access_token")), None).ok(200);
    keep(&ticket, &["ticket"]);
    let next = server.refresh(&made["refresh_token"]).ok(200);
    keep(&next, &["access_token", "refresh_token"]);
    server.advance(60_000);
    told += &server.refresh(&made["refresh_token"]).body.to_string();
    told += &server.get("/v1/me", text(&next, "access_token")).body.to_string();
    let again = server.sign_in(phone, "laptop");
    keep(&again, &["access_token", "refresh_token"]);
    server.carrier.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    server.advance(60_000);
    told += &server.post("/v1/auth/code", &json!({ "phone": phone })).body.to_string();
    told += &format!("{:?}", server.state);
    // Another's log lines come in between; ours has come when it names the failed message.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let logged = loop {
        let logged =
            String::from_utf8_lossy(&log.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
        if logged.contains("sms_failed") && logged.contains("refresh_token_reused") {
            break logged;
        }
        assert!(std::time::Instant::now() < until, "both events are logged: {logged}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    secrets.push(SECRET.iter().map(|byte| format!("{byte:02x}")).collect());
    assert!(secrets.len() >= 9);
    for secret in &secrets {
        assert!(!logged.contains(secret), "logged: {secret}");
        assert!(!told.contains(secret), "told: {secret}");
    }
    // Codes are short: look for them as words.
    for code in server.messages(2).iter().map(|sms| sms.code.reveal().to_owned()) {
        for line in logged.lines().filter(|line| line.contains("sms_failed") || line.contains("reused")) {
            let words = line.split(|c: char| !c.is_ascii_digit());
            assert!(words.into_iter().all(|word| word != code), "{line}");
        }
    }
    at_rest(&server, &secrets[1..]);
}

/// The number is in the store, in clear, for its account. Nothing else is anywhere.
fn at_rest(server: &Server, secrets: &[String]) {
    for entry in std::fs::read_dir(server.data.path()).expect("readable") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("readable");
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {}", path.display());
        }
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET), "{}", path.display());
    }
}
