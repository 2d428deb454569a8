//! A server on this machine that answers as Google's two do: one gives access tokens for signed JWTs, the other takes pushes. It checks what it
//! is sent and counts it.

#![allow(dead_code, reason = "each test target uses its part")]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use super::schema::{Schemas, rules};

/// How a push is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Taken.
    Taken,
    /// Refused with a status, the provider's word, and perhaps `Retry-After` in seconds.
    Refused(u16, &'static str, Option<u32>),
    /// The connection ends when the request was read.
    Hangs,
    /// Taken, after so long.
    Slow(Duration),
}

#[derive(Default)]
struct State {
    /// Bodies of pushes that were taken, in their order.
    taken: Vec<Value>,
    /// All requests for pushes, by token.
    asked: BTreeMap<String, u32>,
    /// What is answered next, by token.
    answers: BTreeMap<String, VecDeque<Answer>>,
    /// Access tokens given.
    given: u32,
    /// How long they are good, in seconds.
    life: u64,
    /// They are refused, whatever they are.
    refuses_tokens: bool,
    /// What was wrong with requests.
    wrong: Vec<String>,
    connections: u32,
}

/// The running server.
pub(crate) struct Google {
    state: Arc<Mutex<State>>,
    port: u16,
    key: String,
}

const PROJECT: &str = "my-project";
const EMAIL: &str = "lynk@my-project.iam.gserviceaccount.com";

impl Google {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let key = Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
            .output()
            .expect("openssl makes the key");
        let key = String::from_utf8(key.stdout).expect("PEM");
        let lines = key.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
        let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(lines).expect("PEM")).expect("a key");
        let public: Arc<[u8]> = pair.public().as_ref().into();
        let state = Arc::new(Mutex::new(State { life: 3_600, ..State::default() }));
        let (shared, schemas) = (Arc::clone(&state), Arc::new(Schemas::load()));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, schemas, public) =
                    (Arc::clone(&shared), Arc::clone(&schemas), Arc::clone(&public));
                state.lock().expect("no panic").connections += 1;
                std::thread::spawn(move || serve(stream, &state, &schemas, &public, port));
            }
        });
        Self { state, port, key }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The file of the service account.
    pub(crate) fn account(&self) -> String {
        json!({
            "type": "service_account", "project_id": PROJECT, "private_key_id": "key-1", "private_key": self.key,
            "client_email": EMAIL, "token_uri": format!("{}/token", self.url()),
        })
        .to_string()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// What is answered to the next pushes to a token.
    pub(crate) fn will_answer(&self, token: &str, answers: &[Answer]) {
        self.state().answers.entry(token.to_owned()).or_default().extend(answers.iter().cloned());
    }

    /// Forgets what was taken.
    pub(crate) fn forget(&self) {
        self.state().taken.clear();
    }

    /// Everything is taken at once again.
    pub(crate) fn forget_answers(&self) {
        self.state().answers.clear();
    }

    pub(crate) fn refuse_tokens(&self, refuses: bool) {
        self.state().refuses_tokens = refuses;
    }

    pub(crate) fn token_life(&self, seconds: u64) {
        self.state().life = seconds;
    }

    /// Bodies that were taken; and nothing was wrong with any.
    pub(crate) fn taken(&self) -> Vec<Value> {
        let state = self.state();
        assert!(state.wrong.is_empty(), "{:?}", state.wrong);
        state.taken.clone()
    }

    pub(crate) fn asked(&self, token: &str) -> u32 {
        self.state().asked.get(token).copied().unwrap_or(0)
    }

    pub(crate) fn tokens_given(&self) -> u32 {
        self.state().given
    }

    pub(crate) fn connections(&self) -> u32 {
        self.state().connections
    }
}

struct Request {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    assert!(line.starts_with("POST "), "{line}");
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body })
}

fn serve(stream: TcpStream, state: &Mutex<State>, schemas: &Schemas, public: &[u8], port: u16) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut stream = stream;
    while let Some(request) = read(&mut reader) {
        let (status, retry_after, body) = match request.path.as_str() {
            "/token" => token(&request, state, public, port),
            path if path == format!("/v1/projects/{PROJECT}/messages:send") => {
                match push(&request, state, schemas) {
                    Some(answer) => answer,
                    None => return,
                }
            }
            other => {
                state.lock().expect("no panic").wrong.push(format!("the path {other}"));
                (404, None, json!({}))
            }
        };
        let body = body.to_string();
        let retry = retry_after.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{retry}Content-Length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

type Reply = (u16, Option<u32>, Value);

/// Gives an access token for a JWT of the service account (RFC 7523).
fn token(request: &Request, state: &Mutex<State>, public: &[u8], port: u16) -> Reply {
    let mut state = state.lock().expect("no panic");
    let checked = || -> Result<(), String> {
        let text = String::from_utf8(request.body.clone()).map_err(|error| error.to_string())?;
        let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
        let jwt = text.strip_prefix(grant).ok_or("another grant")?;
        let (signed, signature) = jwt.rsplit_once('.').ok_or("no JWT")?;
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string());
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
            .verify(signed.as_bytes(), &bytes(signature)?)
            .map_err(|_| "a wrong signature".to_owned())?;
        let (header, claims) = signed.split_once('.').ok_or("no JWT")?;
        let value = |part: &str| -> Result<Value, String> {
            serde_json::from_slice(&bytes(part)?).map_err(|error| error.to_string())
        };
        let (header, claims) = (value(header)?, value(claims)?);
        if header != json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}) {
            return Err(format!("{header}"));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let (iat, exp) = (claims["iat"].as_u64().unwrap_or(0), claims["exp"].as_u64().unwrap_or(0));
        let timely = iat.abs_diff(now) < 300 && exp > now && exp - iat <= 3_600;
        let scope = "https://www.googleapis.com/auth/firebase.messaging";
        let aud = format!("http://127.0.0.1:{port}/token");
        if !timely || claims["iss"] != EMAIL || claims["scope"] != scope || claims["aud"] != aud.as_str() {
            return Err(format!("{claims}"));
        }
        Ok(())
    };
    if let Err(why) = checked() {
        state.wrong.push(format!("a JWT: {why}"));
        return (400, None, json!({"error": "invalid_grant"}));
    }
    state.given += 1;
    let (given, life) = (state.given, state.life);
    (
        200,
        None,
        json!({"access_token": format!("access-{given}"), "expires_in": life, "token_type": "Bearer"}),
    )
}

/// Takes a push; `None` ends the connection.
fn push(request: &Request, state: &Mutex<State>, schemas: &Schemas) -> Option<Reply> {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let (message, answer) = {
        let mut state = state.lock().expect("no panic");
        let bearer = request.headers.get("authorization").cloned().unwrap_or_default();
        if state.refuses_tokens || bearer != format!("Bearer access-{}", state.given) {
            return Some(refusal(401, "UNAUTHENTICATED", None));
        }
        // Fields of Google's APIs have two spellings in JSON.
        let named = camel(&body, "");
        let checked = schemas.check("SendMessageRequest", &named).and_then(|()| rules(&body["message"]));
        if let Err(why) = checked {
            state.wrong.push(why);
        }
        let message = body["message"].clone();
        let token = message["token"].as_str().unwrap_or_default().to_owned();
        *state.asked.entry(token.clone()).or_default() += 1;
        let answer = state.answers.get_mut(&token).and_then(VecDeque::pop_front).unwrap_or(Answer::Taken);
        (message, answer)
    };
    match answer {
        Answer::Taken => {}
        Answer::Slow(time) => std::thread::sleep(time),
        Answer::Hangs => return None,
        Answer::Refused(status, word, retry_after) => return Some(refusal(status, word, retry_after)),
    }
    let mut state = state.lock().expect("no panic");
    state.taken.push(message);
    Some((200, None, json!({"name": format!("projects/{PROJECT}/messages/{}", state.taken.len())})))
}

fn refusal(status: u16, word: &str, retry_after: Option<u32>) -> Reply {
    let detail = json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": word});
    (
        status,
        retry_after,
        json!({"error": {"code": status, "message": "no", "status": "X", "details": [detail]}}),
    )
}

/// Names of fields as the description has them; what is below maps and free objects stays.
fn camel(value: &Value, at: &str) -> Value {
    if ["data", "headers", "payload"].contains(&at) {
        return value.clone();
    }
    let Some(fields) = value.as_object() else { return value.clone() };
    let named = fields.iter().map(|(name, value)| {
        let mut parts = name.split('_');
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let mut letters = part.chars();
            whole.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
            whole.push_str(letters.as_str());
        }
        (whole, camel(value, name))
    });
    Value::Object(named.collect())
}
