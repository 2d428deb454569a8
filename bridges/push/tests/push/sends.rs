//! Single pushes: what is sent, and what answers mean.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lynk_domain::{MessageId, Millis, RoomId, Seq, SessionId, UserId};
use lynk_model::notify::{Device, Platform, Provider, Push, PushCause, PushId, PushState, PushToken};
use lynk_model::port::{Delivered, PushNote, PushSender as _};
use lynk_push::{Fcm, FcmOptions, Roots, ServiceAccount};
use tokio::runtime::{Builder, Runtime};

use super::double::{Answer, Google};

pub(crate) fn wall() -> Millis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Millis(u64::try_from(now.as_millis()).expect("fits"))
}

/// No certificate is asked for on this machine, and one may not be there.
pub(crate) fn roots() -> Roots {
    let nobody = rcgen::generate_simple_self_signed(vec!["nobody".to_owned()]).expect("a certificate");
    Roots::Pem(nobody.cert.pem().into_bytes())
}

pub(crate) fn fcm(google: &Google) -> Fcm {
    Fcm::new(FcmOptions {
        api_url: google.url(),
        account: ServiceAccount::parse(google.account().as_bytes()).expect("an account"),
        roots: roots(),
        timeout: Duration::from_secs(30),
        ttl_seconds: 86_400,
        wall: Arc::new(wall),
    })
    .expect("good options")
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn note(token: &str, platform: Platform, id_only: bool) -> PushNote {
    let push = Push {
        id: PushId([1; 16]),
        user: UserId([2; 16]),
        room: RoomId([0xfe; 16]),
        session: SessionId([3; 16]),
        from: Seq(4),
        upto: Seq(9),
        message: MessageId([5; 16]),
        messages: 3,
        mention: false,
        state: PushState::Claimed,
        cause: PushCause::None,
        dropped: None,
        attempts: 1,
        at: wall(),
        next: Millis(0),
        told: false,
    };
    let device = Device {
        session: push.session,
        user: push.user,
        provider: Provider::Fcm,
        token: PushToken::parse(token).expect("a token"),
        platform,
        id_only,
        created: wall(),
        last_ok: None,
    };
    PushNote { push, device, badge: 12, unread: 3, request: false, trial: false }
}

#[test]
fn requests_are_as_the_provider_describes_them() {
    let google = Google::start();
    let fcm = fcm(&google);
    runtime().block_on(async {
        fcm.ready(2).await.expect("ready");
        for platform in Platform::ALL {
            for id_only in [true, false] {
                let note = note(&format!("{}-{id_only}", platform.word()), *platform, id_only);
                assert_eq!(fcm.send(&note).await, Delivered::Taken);
                let trial = PushNote { trial: true, ..note };
                assert_eq!(fcm.send(&trial).await, Delivered::Taken);
            }
        }
        // Two for the pushes, which are used again, and one for the access token.
        assert!(google.connections() <= 3, "{} connections", google.connections());
    });
    let taken = google.taken();
    assert_eq!(taken.len(), 12);
    assert_eq!(google.tokens_given(), 1, "an access token is kept");
    let android = &taken[0];
    assert_eq!(android["token"], "android-true");
    assert_eq!(android["data"]["room"], RoomId([0xfe; 16]).to_string());
    assert_eq!((&android["data"]["seq"], &android["data"]["badge"]), (&"9".into(), &"12".into()));
    assert_eq!(android["android"]["collapse_key"], taken[4]["apns"]["headers"]["apns-collapse-id"]);
    assert_eq!(android["android"]["collapse_key"], taken[8]["webpush"]["headers"]["Topic"]);
}

#[test]
fn answers_mean_what_the_provider_says_they_mean() {
    let google = Google::start();
    let fcm = fcm(&google);
    let failed = |cause, retry_after_millis| Delivered::Failed { cause, retry_after_millis };
    let cases = [
        ("gone", Answer::Refused(404, "UNREGISTERED", None), Delivered::Unregistered),
        ("bad", Answer::Refused(400, "INVALID_ARGUMENT", None), Delivered::Refused(PushCause::Invalid)),
        ("other", Answer::Refused(403, "SENDER_ID_MISMATCH", None), Delivered::Refused(PushCause::Sender)),
        (
            "apple",
            Answer::Refused(401, "THIRD_PARTY_AUTH_ERROR", None),
            Delivered::Refused(PushCause::ThirdParty),
        ),
        ("many", Answer::Refused(429, "QUOTA_EXCEEDED", Some(3)), failed(PushCause::Quota, 3_000)),
        ("ill", Answer::Refused(503, "UNAVAILABLE", None), failed(PushCause::Server, 0)),
        ("cut", Answer::Hangs, failed(PushCause::Unanswered, 0)),
        ("fine", Answer::Taken, Delivered::Taken),
    ];
    runtime().block_on(async {
        for (token, answer, expected) in cases {
            google.will_answer(token, &[answer]);
            assert_eq!(fcm.send(&note(token, Platform::Android, true)).await, expected, "{token}");
            assert_eq!(google.asked(token), 1, "{token} is asked once");
        }
    });
    assert_eq!(google.taken().len(), 1);
}

#[test]
fn access_tokens_are_renewed_early_and_when_they_are_refused() {
    let google = Google::start();
    let fcm = fcm(&google);
    runtime().block_on(async {
        // Ends within the time in which one is renewed.
        google.token_life(120);
        for given in 1..=2 {
            assert_eq!(fcm.send(&note("a", Platform::Web, true)).await, Delivered::Taken);
            assert_eq!(google.tokens_given(), given);
        }
        google.token_life(3_600);
        assert_eq!(fcm.send(&note("a", Platform::Web, true)).await, Delivered::Taken);
        assert_eq!(fcm.send(&note("a", Platform::Web, true)).await, Delivered::Taken);
        assert_eq!(google.tokens_given(), 3);
        google.refuse_tokens(true);
        let refused = Delivered::Failed { cause: PushCause::Credentials, retry_after_millis: 0 };
        assert_eq!(fcm.send(&note("a", Platform::Web, true)).await, refused);
        google.refuse_tokens(false);
        assert_eq!(fcm.send(&note("a", Platform::Web, true)).await, Delivered::Taken);
        assert_eq!(google.tokens_given(), 4);
    });
}

#[test]
fn a_provider_that_is_away_is_told_before_anything_is_claimed() {
    let google = Google::start();
    let away = Fcm::new(FcmOptions {
        api_url: "http://127.0.0.1:1".to_owned(),
        account: ServiceAccount::parse(google.account().as_bytes()).expect("an account"),
        roots: roots(),
        timeout: Duration::from_secs(5),
        ttl_seconds: 60,
        wall: Arc::new(wall),
    })
    .expect("good options");
    assert_eq!(runtime().block_on(away.ready(1)), Err(PushCause::Unreachable));
    let printed = format!("{away:?} {:?}", ServiceAccount::parse(google.account().as_bytes()));
    assert!(!printed.contains("PRIVATE") && !printed.contains("gserviceaccount"), "{printed}");
}
