//! A server of the test's own, and a client that speaks to it as the network does.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use lynk_api::accounts::{
    AccountsState, AccountsThread, Blocks, NoAvatars, NoBlocks, Painter, Painting, Parts, Pictures, Policies,
    router, start,
};
use lynk_api::names::{Names, NamesThread, NoRooms};
use lynk_api::{ApiOptions, Client, Clock, Counts, Shards, finish, open};
use lynk_auth::{
    FactorKeys, KeyRing, Scope, Sending, SigningKey, Sms, SmsCall, SmsCallError, SmsError, SmsReport,
    SmsSender,
};
use lynk_compute::{Compute, ComputeThreads};
use lynk_domain::{Millis, Nanos, Now, SessionId};
use lynk_embedded::Accounts;
use lynk_http::Policy;
use lynk_model::local::LocalEphemeral;
use lynk_model::port::{ErasureStore, LastFault};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const START: u64 = 1_795_456_131_000;
/// An origin that may use the server.
pub(crate) const LISTED: &str = "https://app.example:8443";
pub(crate) const SECRET: [u8; 32] = [0x5e; 32];
pub(crate) const FACTOR_KEY: [u8; 32] = [0xfa; 32];

/// Keeps what was sent instead of sending it.
#[derive(Default)]
pub(crate) struct Carrier {
    sent: Mutex<Vec<Sms>>,
    pub(crate) broken: AtomicBool,
    offered: Mutex<Vec<Sms>>,
    /// What a broken one says.
    pub(crate) error: Mutex<Option<SmsError>>,
    /// Messages that it was given while broken.
    pub(crate) failed: AtomicUsize,
}

impl Carrier {
    /// All that it was given, sent or not.
    pub(crate) fn offered(&self) -> Vec<Sms> {
        self.offered.lock().expect("whole").clone()
    }
}

impl SmsSender for Carrier {
    fn send<'a>(&'a self, sms: &'a Sms) -> Sending<'a> {
        Box::pin(async move {
            self.offered.lock().expect("whole").push(sms.clone());
            if self.broken.load(Ordering::Relaxed) {
                let error = self.error.lock().expect("whole").unwrap_or(SmsError::Unavailable);
                // Last: whoever waits for it may change the error.
                self.failed.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
            self.sent.lock().expect("whole").push(sms.clone());
            Ok(())
        })
    }

    /// Believes whoever signs with "signed" and names a message by its place.
    fn report(&self, call: &SmsCall<'_>) -> Result<SmsReport, SmsCallError> {
        if call.signature != Some(b"signed") {
            return Err(SmsCallError::Signature);
        }
        assert!(call.path.starts_with("/v1/sms/status/") && call.path.contains(call.reference));
        let sent = self.sent.lock().expect("whole");
        let place: Option<usize> = call.reference.parse().ok();
        let sms = place.and_then(|place| sent.get(place)).ok_or(SmsCallError::UnknownMessage)?;
        match call.body {
            b"lost" => Ok(SmsReport::Lost(sms.request)),
            b"noted" => Ok(SmsReport::Noted),
            b"again" => Err(SmsCallError::Replayed),
            _ => Err(SmsCallError::Malformed),
        }
    }
}

/// Real pictures, by real threads.
struct Painted(Compute);

impl Painter for Painted {
    fn qr(&self, text: String) -> Painting {
        let compute = self.0.clone();
        Box::pin(async move {
            let lynk_compute::Qr { svg, png } =
                compute.run(move || lynk_compute::qr(&text)).await.expect("room").expect("short");
            Ok(Pictures { svg, png })
        })
    }
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The code of a refusal that must have this status.
    #[track_caller]
    pub(crate) fn code(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.body);
        self.body["code"].as_str().expect("a code")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let find =
            |line: &'_ str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head
            .lines()
            .find(|line| find(line))
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim())
    }
}

/// A server on loopback.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: AccountsState,
    pub(crate) carrier: Arc<Carrier>,
    pub(crate) shards: Shards,
    pub(crate) data: Arc<TempDir>,
    millis: Arc<AtomicU64>,
    /// Milliseconds that the wall clock is ahead of where it began besides.
    skew: Arc<AtomicU64>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    threads: Option<(JoinHandle<()>, NamesThread, AccountsThread, ComputeThreads)>,
    pub(crate) names: Arc<Names>,
}

pub(crate) fn ring(seed: u8) -> KeyRing {
    KeyRing::new(Scope::default(), SigningKey::generate([seed; 32]).0, []).expect("one key")
}

/// Policies under which a test is not slowed by what it does not test.
pub(crate) fn lax() -> Policies {
    let mut policies = Policies::default();
    policies.codes.attempts_per_address_minute = 0;
    policies.codes.per_address_hour = 0;
    policies.codes.per_prefix_hour = 0;
    policies
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(lax())
    }

    pub(crate) fn with(policies: Policies) -> Self {
        let data = Arc::new(tempfile::tempdir().expect("a directory"));
        Self::over(data, policies, Arc::new(NoBlocks), START)
    }

    /// A server over a data directory that may have been used before, whose wall clock begins at `wall`.
    pub(crate) fn over(data: Arc<TempDir>, policies: Policies, blocks: Arc<dyn Blocks>, wall: u64) -> Self {
        let store = Accounts::open(data.path()).expect("opens");
        Self::on(store, data, policies, blocks, wall)
    }

    /// A server on any store.
    pub(crate) fn on<S: ErasureStore + LastFault + Send + 'static>(
        store: S,
        data: Arc<TempDir>,
        policies: Policies,
        blocks: Arc<dyn Blocks>,
        wall: u64,
    ) -> Self {
        let keys = FactorKeys::new(FACTOR_KEY, []);
        Self::made_of(store, data, (policies, blocks, keys), wall)
    }

    /// A server with other keys of second factors.
    pub(crate) fn on_keys(
        store: Accounts,
        data: Arc<TempDir>,
        policies: Policies,
        wall: u64,
        keys: FactorKeys,
    ) -> Self {
        Self::made_of(store, data, (policies, Arc::new(NoBlocks), keys), wall)
    }

    fn made_of<S: ErasureStore + LastFault + Send + 'static>(
        store: S,
        data: Arc<TempDir>,
        (policies, blocks, factor_keys): (Policies, Arc<dyn Blocks>, FactorKeys),
        wall: u64,
    ) -> Self {
        let (millis, skew) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(wall)));
        let clock: Clock = {
            let (millis, skew) = (Arc::clone(&millis), Arc::clone(&skew));
            Arc::new(move || {
                let millis = millis.load(Ordering::Relaxed);
                let wall = skew.load(Ordering::Relaxed).wrapping_add(millis);
                Now { mono: Nanos(millis * Nanos::MILLISECOND), wall: Millis(wall) }
            })
        };
        let carrier = Arc::new(Carrier::default());
        let (_, shards, _) = open(Vec::new(), 1, &Arc::new(Counts::default())).expect("descriptors");
        let (names, filler) = Names::new(Arc::<LocalEphemeral>::default(), [0; 16]);
        let (compute, compute_threads) = Compute::start(1).expect("a thread");
        let parts = Parts {
            store,
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
            secret: SECRET,
            factor_keys,
            ring: ring(1),
            shared: None,
            policies,
            sms: Some(Arc::clone(&carrier) as Arc<dyn SmsSender>),
            blocks,
            names: Arc::clone(&names),
            room_names: Arc::new(NoRooms),
            room_people: Arc::new(NoRooms),
            room_name_chars_max: 100,
            shards: shards.clone(),
            painter: Arc::new(Painted(compute)),
            avatars: Arc::new(NoAvatars),
            notices: None,
            clock,
        };
        let (state, accounts) = start(parts).expect("starts");
        let filled = filler.start(state.clone(), Arc::new(NoRooms)).expect("a thread");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
        let address = listener.local_addr().expect("bound");
        listener.set_nonblocking(true).expect("ours");
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let app = finish(router(state.clone()), &options()).layer(from_fn(peer));
        let http = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("ours");
                let serve = axum::serve(listener, app);
                tokio::select! {
                    end = async { serve.await } => end.expect("serves"),
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            state,
            carrier,
            shards,
            data,
            millis,
            skew,
            stop: Some(stop),
            threads: Some((http, filled, accounts, compute_threads)),
            names,
        }
    }

    /// Ends it, the owner of the store last.
    pub(crate) fn end(mut self) {
        drop(self.stop.take());
        let (http, filled, accounts, compute) = self.threads.take().expect("runs");
        http.join().expect("ends well");
        filled.finish();
        drop(self.state);
        accounts.join();
        compute.join();
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.millis.fetch_add(millis, Ordering::Relaxed);
    }

    /// The wall clock jumps back; the monotonic one does not.
    pub(crate) fn jump_back(&self, millis: u64) {
        self.skew.fetch_sub(millis, Ordering::Relaxed);
    }

    pub(crate) fn wall(&self) -> u64 {
        self.skew.load(Ordering::Relaxed) + self.millis.load(Ordering::Relaxed)
    }

    pub(crate) fn now(&self) -> Now {
        let mono = Nanos(self.millis.load(Ordering::Relaxed) * Nanos::MILLISECOND);
        Now { mono, wall: Millis(self.wall()) }
    }

    pub(crate) fn raw(&self, request: &str) -> Answer {
        send(self.address, request)
    }

    pub(crate) fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        call(self.address, method, path, token, body, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, None, Some(body))
    }

    pub(crate) fn post_from(&self, from: IpAddr, path: &str, body: &Value) -> Answer {
        call(self.address, "POST", path, None, Some(body), Some(from))
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> Answer {
        self.call("GET", path, Some(token), None)
    }

    /// Messages sent so far, once there are `count`.
    #[track_caller]
    pub(crate) fn messages(&self, count: usize) -> Vec<Sms> {
        self.messages_that(|_| true, count)
    }

    /// Messages sent to one number so far, once there are `count`.
    #[track_caller]
    pub(crate) fn messages_to(&self, phone: &str, count: usize) -> Vec<Sms> {
        self.messages_that(|sms| sms.to.as_e164() == phone, count)
    }

    #[track_caller]
    fn messages_that(&self, counts: impl Fn(&Sms) -> bool, count: usize) -> Vec<Sms> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let sent: Vec<Sms> =
                self.carrier.sent.lock().expect("whole").iter().filter(|sms| counts(sms)).cloned().collect();
            if sent.len() >= count {
                return sent;
            }
            assert!(Instant::now() < until, "{} of {count} messages", sent.len());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks for a code and reads it from the telephone: request id and digits.
    ///
    /// A message is sent after its request is answered, so those of other
    /// numbers can still be on their way.
    #[track_caller]
    pub(crate) fn code_for(&self, phone: &str) -> (String, String) {
        let number = phone.replace(char::is_whitespace, "");
        let before = self.messages_to(&number, 0).len();
        let asked = self.post("/v1/auth/code", &json!({ "phone": phone })).ok(200);
        let sent = self.messages_to(&number, before + 1);
        let code = sent.last().expect("one").code.reveal().to_owned();
        (asked["request_id"].as_str().expect("an id").to_owned(), code)
    }

    /// Proves a number.
    #[track_caller]
    pub(crate) fn prove(&self, phone: &str, device: &str) -> Value {
        let (request, code) = self.code_for(phone);
        self.post("/v1/auth/verify", &json!({ "request_id": request, "code": code, "device": device }))
            .ok(200)
    }

    /// Makes an account: the answer to `register`.
    #[track_caller]
    pub(crate) fn sign_up(&self, phone: &str, name: &str) -> Value {
        let proved = self.prove(phone, "first");
        assert_eq!(proved["status"], "new");
        let body = json!({ "registration": proved["registration"], "user_name": name, "device": "first" });
        self.post("/v1/auth/register", &body).ok(201)
    }

    /// Signs in to an account that exists, after the time that a number waits.
    #[track_caller]
    pub(crate) fn sign_in(&self, phone: &str, device: &str) -> Value {
        self.advance(60_000);
        let proved = self.prove(phone, device);
        assert_eq!(proved["status"], "signed_in");
        proved
    }

    /// Whether the shards were told that a session is over.
    pub(crate) fn told_of(&self, session: &Value) -> bool {
        let session = session.as_str().and_then(SessionId::parse).expect("an id");
        self.shards.check(session, Millis(u64::MAX)).is_err()
    }

    pub(crate) fn refresh(&self, token: &Value) -> Answer {
        self.post("/v1/auth/refresh", &json!({ "refresh_token": token }))
    }
}

/// Limits that these tests do not meet.
fn options() -> ApiOptions {
    ApiOptions {
        policy: Policy { path: "/ws".to_owned(), origins: vec![LISTED.to_owned()] },
        connections_max: u32::MAX,
        connections_per_network_max: 0,
        request_time: Duration::from_secs(60),
    }
}

/// Says who the peer is, when the test's client does.
async fn peer(mut request: Request, next: Next) -> axum::response::Response {
    let from = request.headers().get("x-test-peer").and_then(|value| value.to_str().ok()?.parse().ok());
    request.extensions_mut().insert(Client(from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))));
    next.run(request).await
}

pub(crate) fn call(
    to: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
    from: Option<IpAddr>,
) -> Answer {
    let body = body.map(ToString::to_string).unwrap_or_default();
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    if let Some(token) = token {
        request += &format!("authorization: Bearer {token}\r\n");
    }
    if let Some(from) = from {
        request += &format!("x-test-peer: {from}\r\n");
    }
    if !body.is_empty() {
        request += "content-type: application/json\r\n";
    }
    request += &format!("content-length: {}\r\n\r\n{body}", body.len());
    send(to, &request)
}

fn send(to: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(to).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("ours");
    stream.write_all(request.as_bytes()).expect("takes the request");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("answers");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect("JSON") };
    Answer { status, head: head.to_owned(), body }
}

/// A text member that must be there.
#[track_caller]
pub(crate) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}
