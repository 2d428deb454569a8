//! Messages and reports, against a server that behaves as Twilio documents.

mod calls;
mod double;
mod sends;
mod tls;

use std::time::Duration;

use lynk_auth::{Code, CodeRequest, Sms};
use lynk_bridge::Secret;
use lynk_domain::{Millis, Phone};
use lynk_sms::{Credentials, Options, Reports, Roots, Twilio};
use lynk_telemetry::{Metric, Snapshot, Value};

use double::{ACCOUNT, Double, KEY, SECRET, SENDER, TOKEN};

/// Where this server is for the carrier.
const PUBLIC: &str = "https://chat.example/lynk";
fn options(api_url: String) -> Options {
    Options {
        api_url,
        credentials: Credentials {
            account: ACCOUNT.to_owned(),
            user: KEY.to_owned(),
            secret: Secret::new(SECRET),
        },
        sender: SENDER.to_owned(),
        // Not those of the machine, which may have none.
        roots: Roots::Pem(tls::Authority::new().pem()),
        reports: Some(Reports { public_url: PUBLIC.to_owned(), tokens: vec![Secret::new(TOKEN)] }),
        timeout: Duration::from_secs(30),
    }
}

fn twilio(double: &Double) -> Twilio {
    Twilio::new(options(double.url())).expect("good")
}

/// One that gives up soon, for what never ends.
fn impatient(double: &Double) -> Twilio {
    Twilio::new(Options { timeout: Duration::from_secs(4), ..options(double.url()) }).expect("good")
}

fn sms(n: u8) -> Sms {
    Sms {
        to: Phone::from_e164(&format!("+49151123456{n:02}")).expect("a number"),
        code: Code::parse("012345").expect("digits"),
        request: CodeRequest([n; 16]),
        made: Millis(7),
        life_millis: 300_000,
    }
}

/// Runs what waits.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// One number of a scrape.
fn metric(twilio: &Twilio, metric: Metric, label: &str) -> u64 {
    let mut snapshot = Snapshot::new();
    twilio.counts().add_to(&mut snapshot);
    let is_it = |place: Option<usize>| match (place, metric.label()) {
        (Some(place), Some(found)) => found.values[place] == label,
        _ => label.is_empty(),
    };
    let series = snapshot.series().iter().find(|series| series.metric == metric && is_it(series.label));
    match series.map(|series| &series.value) {
        Some(Value::Number(number)) => *number as u64,
        other => panic!("{metric:?} {label}: {other:?}"),
    }
}
