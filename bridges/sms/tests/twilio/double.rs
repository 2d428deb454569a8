//! Twilio as it documents itself: a server on loopback that checks each request as the Messages API would, answers in its form, and
//! misbehaves on demand. It stands in for an outside system that no test can reach; that the real one behaves so is taken from its
//! documentation.

#![allow(dead_code, reason = "each test target uses its part")]

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const KEY: &str = "SKfedcba9876543210fedcba9876543210";
pub(crate) const SECRET: &str = "secret-of-the-key-tHAt-nobody-sees";
pub(crate) const TOKEN: &str = "token-of-the-account-tHAt-nobody-sees";
pub(crate) const SENDER: &str = "+15005550006";

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens to one request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// It is taken, and answered.
    Take,
    /// It is taken, and the connection ends after the answer without a word of it.
    TakeAndClose,
    /// It is refused: status, further header lines, Twilio's number.
    Refuse(u16, &'static str, u32),
    /// It is taken, and nothing is ever answered.
    Silence,
    /// It is taken, and the connection ends without an answer.
    Close,
    /// The connection is reset when some of the request has come.
    Reset,
    /// It is taken, and half of the head is answered.
    HalfHead,
    /// This status is answered, and the body never comes.
    NoBody(u16),
    /// It is taken, and the body does not end.
    LongBody,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Which connection, from 0.
    pub(crate) connection: usize,
    pub(crate) line: String,
    /// Lower-case names.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) form: Vec<(String, String)>,
    /// Whether a message may have gone out for it.
    pub(crate) taken: bool,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// The digits of the code in the text.
    pub(crate) fn code(&self) -> String {
        self.value("Body").expect("a text").chars().take(6).collect()
    }

    /// Path of the URL that reports are asked for at.
    pub(crate) fn report_path(&self, public_url: &str) -> String {
        self.value("StatusCallback").and_then(|url| url.strip_prefix(public_url)).expect("an URL").to_owned()
    }
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    plan: Mutex<VecDeque<Act>>,
    connections: AtomicUsize,
}

/// The server; its threads end with the process.
pub(crate) struct Double {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Double {
    /// Without TLS.
    pub(crate) fn start() -> Self {
        Self::over(Some)
    }

    /// On streams that `secure` makes of sockets.
    pub(crate) fn over<S: Read + Write + Send + 'static>(
        secure: impl Fn(TcpStream) -> Option<S> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::<Shared>::default();
        let (mine, secure) = (Arc::clone(&shared), Arc::new(secure));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (shared, secure) = (Arc::clone(&mine), Arc::clone(&secure));
                std::thread::spawn(move || {
                    let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
                    if let Some(stream) = secure(socket) {
                        // Whatever ends it is what the test is about.
                        let _ = serve(&shared, connection, stream);
                    }
                });
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What happens to the next requests; those after them are taken.
    pub(crate) fn plan(&self, acts: impl IntoIterator<Item = Act>) {
        self.shared.plan.lock().expect("whole").extend(acts);
    }

    /// Requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("whole").clone()
    }

    /// Messages that may have gone out so far.
    pub(crate) fn taken(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.taken).collect()
    }

    /// The newest of so many messages to a number, once they are there.
    pub(crate) fn message_to(&self, number: &str, count: usize) -> Seen {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut to: Vec<Seen> =
                self.taken().into_iter().filter(|seen| seen.value("To") == Some(number)).collect();
            if to.len() >= count {
                return to.swap_remove(count - 1);
            }
            assert!(Instant::now() < until, "{} of {count} messages", to.len());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

fn serve<S: Read + Write>(shared: &Shared, connection: usize, stream: S) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let act = shared.plan.lock().expect("whole").pop_front().unwrap_or(Act::Take);
        if matches!(act, Act::Reset) {
            // The rest of the request is not read: the kernel answers it with a reset.
            return Ok(());
        }
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            stream.read_line(&mut header)?;
            match header.trim_end().split_once(": ") {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
                None => break,
            }
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.and_then(|(_, value)| value.parse().ok()).expect("a length");
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let form = decode(&String::from_utf8(body).expect("ASCII"));
        let mut seen = Seen { connection, line: line.trim_end().to_owned(), headers, form, taken: false };
        let problem = problem(&seen);
        seen.taken = problem.is_none() && !matches!(act, Act::Refuse(..) | Act::NoBody(300..));
        let to = seen.value("To").unwrap_or_default().to_owned();
        shared.seen.lock().expect("whole").push(seen);
        let out = stream.get_mut();
        if let Some((status, code, message)) = problem {
            refuse(out, status, "", code, message)?;
            continue;
        }
        match act {
            Act::Take => take(out, &to)?,
            Act::TakeAndClose => return take(out, &to),
            Act::Refuse(status, lines, code) => refuse(out, status, lines, code, "as planned")?,
            Act::Close | Act::Reset => return Ok(()),
            Act::HalfHead => return out.write_all(b"HTTP/1.1 201 CREATED\r\nContent-Ty"),
            Act::Silence => std::thread::sleep(PATIENCE),
            Act::NoBody(status) => {
                write!(
                    out,
                    "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{{"
                )?;
                out.flush()?;
                std::thread::sleep(PATIENCE);
            }
            Act::LongBody => {
                write!(out, "HTTP/1.1 201 CREATED\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                loop {
                    write!(out, "400\r\n{}\r\n", "x".repeat(1_024))?;
                }
            }
        }
    }
}

fn take(out: &mut impl Write, to: &str) -> std::io::Result<()> {
    let body = format!(
        r#"{{"account_sid":"{ACCOUNT}","api_version":"2010-04-01","body":"…","date_created":"Thu, 26 Nov 2026 08:00:00 +0000","date_sent":null,"direction":"outbound-api","error_code":null,"error_message":null,"from":"{SENDER}","messaging_service_sid":null,"num_media":"0","num_segments":"1","price":null,"price_unit":null,"sid":"SM{:032x}","status":"queued","to":"{to}"}}"#,
        7
    );
    answer(out, 201, "", &body)
}

fn refuse(out: &mut impl Write, status: u16, lines: &str, code: u32, message: &str) -> std::io::Result<()> {
    let info = format!("https://www.twilio.com/docs/errors/{code}");
    let body = format!(r#"{{"code":{code},"message":"{message}","more_info":"{info}","status":{status}}}"#);
    answer(out, status, lines, &body)
}

fn answer(out: &mut impl Write, status: u16, lines: &str, body: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json;charset=utf-8\r\n{lines}");
    out.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
    out.flush()
}

/// What the API would refuse in a request: status, its number, its words.
fn problem(seen: &Seen) -> Option<(u16, u32, &'static str)> {
    if seen.line != format!("POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1") {
        return Some((404, 20404, "no such resource"));
    }
    let as_key = format!("Basic {}", STANDARD.encode(format!("{KEY}:{SECRET}")));
    let as_account = format!("Basic {}", STANDARD.encode(format!("{ACCOUNT}:{TOKEN}")));
    if !seen.header("authorization").is_some_and(|sent| sent == as_key || sent == as_account) {
        return Some((401, 20003, "Authenticate"));
    }
    if seen.header("content-type") != Some("application/x-www-form-urlencoded") {
        return Some((400, 20001, "not a form"));
    }
    let known = ["To", "From", "MessagingServiceSid", "Body", "StatusCallback", "ValidityPeriod"];
    if seen.form.iter().any(|(name, _)| !known.contains(&name.as_str())) {
        return Some((400, 20001, "unknown parameter"));
    }
    let is_number = |text: &str| {
        text.strip_prefix('+').is_some_and(|digits| {
            (8..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    if !seen.value("To").is_some_and(is_number) {
        return Some((400, 21211, "invalid To"));
    }
    match (seen.value("From"), seen.value("MessagingServiceSid")) {
        (Some(from), None) if is_number(from) => {}
        (None, Some(service)) if service.starts_with("MG") && service.len() == 34 => {}
        _ => return Some((400, 21603, "a From number is required")),
    }
    if !seen.value("Body").is_some_and(|text| (1..=1_600).contains(&text.chars().count())) {
        return Some((400, 21602, "a body is required"));
    }
    let is_validity = |text: &str| text.parse().is_ok_and(|seconds: u32| (1..=14_400).contains(&seconds));
    if !seen.value("ValidityPeriod").is_none_or(is_validity) {
        return Some((400, 20001, "invalid ValidityPeriod"));
    }
    let is_url = |text: &str| text.starts_with("https://") && !text.contains('_');
    if !seen.value("StatusCallback").is_none_or(is_url) {
        return Some((400, 21609, "invalid StatusCallback"));
    }
    None
}

fn decode(form: &str) -> Vec<(String, String)> {
    let part = |text: &str| {
        let mut out = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            out.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                    let digits = std::str::from_utf8(&digits).expect("ASCII");
                    u8::from_str_radix(digits, 16).expect("hexadecimal")
                }
                byte => byte,
            });
        }
        String::from_utf8(out).expect("UTF-8")
    };
    form.split('&')
        .map(|one| one.split_once('=').expect("a value"))
        .map(|(a, b)| (part(a), part(b)))
        .collect()
}

/// The body of a report, and its signature for `url`.
pub(crate) fn report(url: &str, token: &str, status: &str, code: Option<u32>) -> (String, String) {
    let mut parameters = vec![
        ("AccountSid", ACCOUNT.to_owned()),
        ("ApiVersion", "2010-04-01".to_owned()),
        ("From", SENDER.to_owned()),
        ("MessageSid", "SM00000000000000000000000000000007".to_owned()),
        ("MessageStatus", status.to_owned()),
        ("SmsSid", "SM00000000000000000000000000000007".to_owned()),
        ("SmsStatus", status.to_owned()),
        ("To", "+4915112345601".to_owned()),
    ];
    parameters.extend(code.map(|code| ("ErrorCode", code.to_string())));
    let body: Vec<_> =
        parameters.iter().map(|(name, value)| format!("{name}={}", value.replace('+', "%2B"))).collect();
    parameters.sort();
    let text: String = parameters.iter().map(|(name, value)| format!("{name}{value}")).collect();
    (body.join("&"), sign(&format!("{url}{text}"), token))
}

/// As `openssl dgst -sha1 -hmac TOKEN -binary | base64` does it.
pub(crate) fn sign(text: &str, token: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    STANDARD.encode(ring::hmac::sign(&key, text.as_bytes()))
}
