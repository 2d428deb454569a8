//! Codes through Twilio, from the real program to a server that behaves as Twilio documents.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::double::{ACCOUNT, Act, Double, KEY, SECRET, SENDER, TOKEN, report};
use crate::support::http::Http;
use crate::support::{NO_RATES, Server};

const PUBLIC: &str = "https://chat.example";
const ALICE: &str = "+4915112345601";
const BOB: &str = "+4915112345602";
const CAROL: &str = "+4915112345603";

fn start(directory: &Path, double: &Double) -> Server {
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, format!("{text}\n")).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
        path.display().to_string()
    };
    let settings = [
        "sms.provider=twilio".to_owned(),
        format!("twilio.account_sid={ACCOUNT}"),
        format!("twilio.key_sid={KEY}"),
        format!("twilio.secret_file={}", file("secret", SECRET)),
        format!("twilio.auth_token_file={}", file("token", TOKEN)),
        format!("twilio.sender={SENDER}"),
        format!("twilio.public_url={PUBLIC}"),
        format!("twilio.api_url={}", double.url()),
        "codes.resend=1s".to_owned(),
        "codes.price=0.1".to_owned(),
        "codes.prices=DE=0.0951".to_owned(),
        "codes.spend_day=0.5".to_owned(),
        "log.level=debug".to_owned(),
    ];
    let mut options = NO_RATES.to_vec();
    settings.iter().for_each(|one| options.extend(["--set", one]));
    Server::start(&directory.join("data"), &options)
}

fn ask(server: &Server, number: &str) -> Value {
    Http::connect(&server.address).good("POST", "/v1/auth/code", json!({"phone": number}), 200)
}

fn proof(asked: &Value, code: &str) -> Value {
    json!({"request_id": asked["request_id"], "code": code, "device": "test"})
}

/// What the carrier tells of a message: the status of the answer, and its code.
fn tell(server: &Server, path: &str, token: &str, status: &str, error: Option<u32>) -> (u16, Option<String>) {
    let (body, signature) = report(&format!("{PUBLIC}{path}"), token, status, error);
    let lines =
        format!("Content-Type: application/x-www-form-urlencoded\r\nX-Twilio-Signature: {signature}\r\n");
    let mut http = Http::connect(&server.address);
    let request = http.request("POST", path, &lines, body.as_bytes());
    http.send(&request);
    let answer = http.receive(false).expect("an answer");
    let code = (answer.status != 204).then(|| answer.json()["code"].as_str().expect("a code").to_owned());
    (answer.status, code)
}

#[test]
fn a_person_signs_up_with_a_code_that_twilio_sent() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let double = Double::start();
    let mut server = start(temp.path(), &double);
    let mut http = Http::connect(&server.address);

    let asked = ask(&server, ALICE);
    let message = double.message_to(ALICE, 1);
    let proved = http.good("POST", "/v1/auth/verify", proof(&asked, &message.code()), 200);
    let body = json!({"registration": proved["registration"], "user_name": "alice"});
    assert_eq!(http.good("POST", "/v1/auth/register", body, 201)["status"], "signed_in");
    let path = message.report_path(PUBLIC);
    let refused = |status, code: &str| (status, Some(code.to_owned()));
    assert_eq!(tell(&server, &path, "another token", "failed", None), refused(403, "forbidden"));
    assert_eq!(tell(&server, &path, TOKEN, "delivered", None), (204, None));
    assert_eq!(tell(&server, &path, TOKEN, "delivered", None), refused(409, "conflict"));
    let other = format!("/v1/sms/status/{}", "0".repeat(32));
    assert_eq!(tell(&server, &other, TOKEN, "delivered", None), refused(404, "message_not_found"));

    // A message that does not arrive: nobody can have read its code.
    let lost = ask(&server, BOB);
    let message = double.message_to(BOB, 1);
    assert_eq!(tell(&server, &message.report_path(PUBLIC), TOKEN, "undelivered", Some(30003)), (204, None));
    http.bad("POST", "/v1/auth/verify", proof(&lost, &message.code()), 401, "invalid_code");

    // No answer to a request that may have arrived: its reader can use the code, and no second one is sent.
    double.plan([Act::Close]);
    let unknown = ask(&server, CAROL);
    server.wait_metric("lynk_sms_sends_total{outcome=\"unknown\"}", 1.0);
    let message = double.message_to(CAROL, 1);
    let (_, ready) = server.get("/readyz");
    let ready: Value = serde_json::from_str(&ready).expect("JSON");
    assert_eq!(
        (&ready["status"], &ready["dependencies"]["sms"]["status"]),
        (&json!("degraded"), &json!("degraded"))
    );
    http.good("POST", "/v1/auth/verify", proof(&unknown, &message.code()), 200);
    assert_eq!(double.taken().iter().filter(|one| one.value("To") == Some(CAROL)).count(), 1);

    // The carrier works again; then the day's money, half a unit, is spent: five are 0.4755.
    for (count, number) in ["+4915112345604", "+4915112345605"].into_iter().enumerate() {
        ask(&server, number);
        server.wait_metric("lynk_sms_sends_total{outcome=\"accepted\"}", 3.0 + count as f64);
    }
    let (_, ready) = server.get("/readyz");
    let ready: Value = serde_json::from_str(&ready).expect("JSON");
    assert_eq!((&ready["status"], &ready["dependencies"]["sms"]["status"]), (&json!("ready"), &json!("ok")));
    http.bad("POST", "/v1/auth/code", json!({"phone": "+4915112345606"}), 429, "rate_limited");
    for (series, number) in [
        ("lynk_accounts_codes_cost_total", 0.4755),
        ("lynk_accounts_codes_over_budget_total", 1.0),
        ("lynk_accounts_codes_cancelled_total", 1.0),
        ("lynk_accounts_codes_total{outcome=\"unknown\"}", 1.0),
        ("lynk_sms_statuses_total{status=\"delivered\"}", 1.0),
        ("lynk_sms_statuses_total{status=\"undelivered\"}", 1.0),
        ("lynk_sms_failures_total{cause=\"number\"}", 1.0),
        ("lynk_sms_failures_total{cause=\"unanswered\"}", 1.0),
        ("lynk_sms_calls_refused_total{reason=\"signature\"}", 1.0),
        ("lynk_sms_calls_refused_total{reason=\"replayed\"}", 1.0),
        ("lynk_sms_calls_refused_total{reason=\"unknown_message\"}", 1.0),
        ("lynk_sms_degraded", 0.0),
    ] {
        assert_eq!(server.metric(series), number, "{series}");
    }
    secrets_stay_where_they_are(&mut server, &double);
}

/// Neither secrets nor numbers nor codes are in logs, metrics, the environment or the command line; then the server ends.
fn secrets_stay_where_they_are(server: &mut Server, double: &Double) {
    let (_, metrics) = server.get("/metrics");
    let process = format!("/proc/{}", server.pid());
    let [environment, command] =
        ["environ", "cmdline"].map(|name| std::fs::read(format!("{process}/{name}")));
    server.signal(rustix::process::Signal::TERM);
    assert!(server.wait().success());
    let log = server.log_text();
    assert!(
        log.contains("sms_lost") && log.contains("sms_carrier_failed") && log.contains("sms_carrier_works")
    );
    let told = [log.as_bytes(), metrics.as_bytes()].concat();
    let seen = [environment.unwrap_or_default(), command.expect("a process")].concat();
    let holds = |text: &[u8], secret: &str| text.windows(secret.len()).any(|part| part == secret.as_bytes());
    for secret in [SECRET, TOKEN] {
        assert!(!holds(&told, secret) && !holds(&seen, secret));
    }
    for message in double.taken() {
        let number = message.value("To").expect("a number").to_owned();
        assert!(!holds(&told, &number[1..]), "a number");
        // Six digits may be part of any longer number.
        let code = message.code();
        assert!(log.split(|c: char| !c.is_ascii_digit()).all(|digits| digits != code), "a code");
    }
}
