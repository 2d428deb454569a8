use lynk_auth::{CodeRequest, SmsCall, SmsCallError, SmsError, SmsReport, SmsSender as _};
use lynk_bridge::Secret;
use lynk_sms::{Options, Reports, Twilio};
use lynk_telemetry::Metric;

use crate::double::{Act, Double, TOKEN, report, sign};
use crate::{PUBLIC, metric, options, run, sms, twilio};

/// A call to `path`, signed as one to `url`.
fn call(
    twilio: &Twilio,
    path: &str,
    url: &str,
    token: &str,
    status: &str,
    code: Option<u32>,
) -> Result<SmsReport, SmsCallError> {
    let (body, signature) = report(url, token, status, code);
    give(twilio, path, Some(&signature), body.as_bytes())
}

fn give(
    twilio: &Twilio,
    path: &str,
    signature: Option<&str>,
    body: &[u8],
) -> Result<SmsReport, SmsCallError> {
    let reference = path.rsplit('/').next().expect("a reference").split('?').next().expect("a reference");
    twilio.report(&SmsCall { path, reference, signature: signature.map(str::as_bytes), body })
}

#[test]
fn a_message_tells_its_way_and_a_lost_one_names_its_request() {
    let double = Double::start();
    let twilio = twilio(&double);
    run(async {
        for n in [1, 2] {
            assert_eq!(twilio.send(&sms(n)).await, Ok(()));
        }
    });
    let paths: Vec<_> = double.taken().iter().map(|seen| seen.report_path(PUBLIC)).collect();
    let tell =
        |path: &str, status: &str, code| call(&twilio, path, &format!("{PUBLIC}{path}"), TOKEN, status, code);
    for status in ["sent", "queued", "delivered"] {
        assert_eq!(tell(&paths[0], status, None), Ok(SmsReport::Noted), "in any order");
    }
    assert_eq!(tell(&paths[0], "delivered", None), Err(SmsCallError::Replayed));
    assert_eq!(tell(&paths[1], "undelivered", Some(30005)), Ok(SmsReport::Lost(CodeRequest([2; 16]))));
    assert_eq!(tell(&paths[1], "undelivered", Some(30005)), Err(SmsCallError::Replayed));
    assert_eq!(metric(&twilio, Metric::SmsStatuses, "delivered"), 1);
    assert_eq!(metric(&twilio, Metric::SmsStatuses, "undelivered"), 1);
    assert_eq!(metric(&twilio, Metric::SmsFailures, "number"), 1);
    assert_eq!(metric(&twilio, Metric::SmsTracked, ""), 2);
    assert!(twilio.counts().health.report().degraded.is_none(), "one telephone says nothing of the carrier");
}

#[test]
fn only_the_account_signs_and_only_what_it_signed() {
    let double = Double::start();
    let twilio = twilio(&double);
    assert_eq!(run(twilio.send(&sms(1))), Ok(()));
    let path = double.taken()[0].report_path(PUBLIC);
    let url = format!("{PUBLIC}{path}");
    let refused = Err(SmsCallError::Signature);
    assert_eq!(call(&twilio, &path, &url, "another token", "failed", None), refused);
    assert_eq!(call(&twilio, &path, "https://evil.example/", TOKEN, "failed", None), refused);
    assert_eq!(call(&twilio, &format!("{path}?a=b"), &url, TOKEN, "failed", None), refused, "another query");
    let (body, signature) = report(&url, TOKEN, "failed", None);
    assert_eq!(give(&twilio, &path, None, body.as_bytes()), refused);
    assert_eq!(give(&twilio, &path, Some(&signature), format!("{body}&X=1").as_bytes()), refused);
    assert_eq!(give(&twilio, &path, Some(&signature), b"%"), refused, "no form");
    // Of another message: the reference is part of the URL.
    let other = format!("/v1/sms/status/{}", "0".repeat(32));
    assert_eq!(give(&twilio, &other, Some(&signature), body.as_bytes()), refused);
    // What is signed and makes no sense.
    let unknown = call(&twilio, &other, &format!("{PUBLIC}{other}"), TOKEN, "failed", None);
    assert_eq!(unknown, Err(SmsCallError::UnknownMessage));
    let empty = give(&twilio, &path, Some(&sign(&url, TOKEN)), b"");
    assert_eq!(empty, Err(SmsCallError::Malformed));
    // None of it changed anything.
    assert_eq!(
        give(&twilio, &path, Some(&signature), body.as_bytes()),
        Ok(SmsReport::Lost(CodeRequest([1; 16])))
    );
}

#[test]
fn a_port_may_be_signed_or_not_and_a_token_may_change() {
    let double = Double::start();
    let public = "https://chat.example:8443";
    let tokens = vec![Secret::new(TOKEN), Secret::new("the-next-one")];
    let reports = Some(Reports { public_url: public.to_owned(), tokens });
    let twilio = Twilio::new(Options { reports, ..options(double.url()) }).expect("good");
    assert_eq!(run(twilio.send(&sms(1))), Ok(()));
    let path = double.taken()[0].report_path(public);
    for (host, token, status) in [
        ("chat.example:8443", TOKEN, "queued"),
        ("chat.example", TOKEN, "sent"),
        ("chat.example", "the-next-one", "delivered"),
    ] {
        let told = call(&twilio, &path, &format!("https://{host}{path}"), token, status, None);
        assert_eq!(told, Ok(SmsReport::Noted), "{host} {status}");
    }
}

#[test]
fn a_message_of_unknown_fate_may_still_be_told_of() {
    let double = Double::start();
    let twilio = twilio(&double);
    double.plan([Act::Close]);
    assert_eq!(run(twilio.send(&sms(1))), Err(SmsError::Unknown));
    let path = double.taken()[0].report_path(PUBLIC);
    let told = call(&twilio, &path, &format!("{PUBLIC}{path}"), TOKEN, "failed", Some(30036));
    assert_eq!(told, Ok(SmsReport::Lost(CodeRequest([1; 16]))));
    assert_eq!(metric(&twilio, Metric::SmsFailures, "expired"), 1);
}

#[test]
fn who_wants_no_reports_takes_none() {
    let double = Double::start();
    let twilio = Twilio::new(Options { reports: None, ..options(double.url()) }).expect("good");
    let path = format!("/v1/sms/status/{}", "0".repeat(32));
    let told = call(&twilio, &path, &format!("{PUBLIC}{path}"), TOKEN, "sent", None);
    assert_eq!(told, Err(SmsCallError::NotServed));
}
