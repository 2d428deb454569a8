use std::net::TcpListener;
use std::time::Duration;

use lynk_auth::{SmsError, SmsSender as _};
use lynk_bridge::Secret;
use lynk_sms::{Credentials, Options, REPEATS_MAX, Twilio};
use lynk_telemetry::Metric;

use crate::double::{ACCOUNT, Act, Double, TOKEN};
use crate::{PUBLIC, impatient, metric, options, run, sms, twilio};

#[test]
fn a_request_is_what_twilio_documents_and_connections_are_kept() {
    let double = Double::start();
    let twilio = twilio(&double);
    run(async {
        for n in 1..=3 {
            assert_eq!(twilio.send(&sms(n)).await, Ok(()));
        }
    });
    let seen = double.taken();
    assert_eq!((seen.len(), double.connections()), (3, 1), "one connection for all");
    let first = &seen[0];
    assert_eq!(first.header("host"), Some(double.address.to_string().as_str()));
    assert_eq!(first.value("To"), Some("+4915112345601"));
    assert_eq!(first.value("Body"), Some(sms(1).text().as_str()));
    assert_eq!(first.value("ValidityPeriod"), Some("300"), "no longer than the code is good");
    let paths: Vec<_> = seen.iter().map(|one| one.report_path(PUBLIC)).collect();
    assert!(paths[0].starts_with("/v1/sms/status/") && paths[0].len() == "/v1/sms/status/".len() + 32);
    assert!(paths[0] != paths[1], "each message has its own");
    assert_eq!(metric(&twilio, Metric::SmsSends, "accepted"), 3);
    assert_eq!(metric(&twilio, Metric::SmsConnections, ""), 1);
}

#[test]
fn a_service_and_the_accounts_own_token_work_too_and_reports_may_be_off() {
    let double = Double::start();
    let credentials =
        Credentials { account: ACCOUNT.to_owned(), user: ACCOUNT.to_owned(), secret: Secret::new(TOKEN) };
    let sender = format!("MG{}", "0f".repeat(16));
    let twilio =
        Twilio::new(Options { credentials, sender: sender.clone(), reports: None, ..options(double.url()) });
    assert_eq!(run(twilio.expect("good").send(&sms(1))), Ok(()));
    let seen = &double.taken()[0];
    assert_eq!((seen.value("MessagingServiceSid"), seen.value("From")), (Some(sender.as_str()), None));
    assert_eq!(seen.value("StatusCallback"), None);
}

#[test]
fn refused_numbers_are_told_from_a_carrier_that_takes_nothing() {
    let double = Double::start();
    let twilio = twilio(&double);
    for (act, expected, cause, degraded) in [
        (Act::Refuse(400, "", 21211), SmsError::Refused, "number", false),
        (Act::Refuse(400, "", 21610), SmsError::Refused, "blocked", false),
        (Act::Refuse(400, "", 21408), SmsError::Refused, "region", false),
        (Act::Refuse(400, "", 77777), SmsError::Refused, "other", false),
        (Act::Refuse(401, "", 20003), SmsError::Unavailable, "credentials", true),
        (Act::Refuse(403, "", 20005), SmsError::Unavailable, "account", true),
        (Act::Refuse(400, "", 21606), SmsError::Unavailable, "sender", true),
        (Act::Refuse(404, "", 20404), SmsError::Unavailable, "sender", true),
        (Act::Refuse(307, "Location: http://127.0.0.1:1/\r\n", 0), SmsError::Unavailable, "sender", true),
    ] {
        let (before, seen) = (metric(&twilio, Metric::SmsFailures, cause), double.seen().len());
        double.plan([act.clone()]);
        assert_eq!(run(twilio.send(&sms(1))), Err(expected), "{act:?}");
        assert_eq!(metric(&twilio, Metric::SmsFailures, cause), before + 1, "{act:?}");
        assert_eq!(twilio.counts().health.report().degraded.is_some(), degraded, "{act:?}");
        assert_eq!(double.seen().len(), seen + 1, "asked once: {act:?}");
    }
    assert_eq!(twilio.counts().health.report().last_error, "sender");
    assert_eq!(run(twilio.send(&sms(1))), Ok(()));
    assert!(twilio.counts().health.report().degraded.is_none(), "it works again");
    assert_eq!(double.taken().len(), 1);
}

#[test]
fn wrong_credentials_are_refused_by_the_server_itself() {
    let double = Double::start();
    let credentials = Credentials { secret: Secret::new("wrong"), ..options(double.url()).credentials };
    let twilio = Twilio::new(Options { credentials, ..options(double.url()) }).expect("good");
    assert_eq!(run(twilio.send(&sms(1))), Err(SmsError::Unavailable));
    let report = twilio.counts().health.report();
    assert_eq!((report.last_error, report.detail.as_str()), ("credentials", "Twilio's error 20003"));
    assert!(double.taken().is_empty());
}

#[test]
fn whoever_asks_too_often_waits_as_long_as_told_and_sends_one() {
    let double = Double::start();
    let twilio = twilio(&double);
    double.plan([Act::Refuse(429, "Retry-After: 1\r\n", 20429), Act::Refuse(429, "", 20429)]);
    assert_eq!(run(twilio.send(&sms(1))), Ok(()));
    assert_eq!((double.seen().len(), double.taken().len()), (3, 1));
    assert_eq!(metric(&twilio, Metric::SmsRepeats, "throttled"), 2);
    // Longer than anybody waits for a code.
    double.plan([Act::Refuse(429, "Retry-After: 3600\r\n", 20429)]);
    assert_eq!(run(twilio.send(&sms(1))), Err(SmsError::Unavailable));
    assert_eq!((double.seen().len(), double.taken().len()), (4, 1));
    // And not for ever.
    double.plan(vec![Act::Refuse(429, "", 20429); REPEATS_MAX as usize + 1]);
    assert_eq!(run(twilio.send(&sms(1))), Err(SmsError::Unavailable));
    assert_eq!((double.seen().len(), double.taken().len()), (4 + REPEATS_MAX as usize + 1, 1));
    assert_eq!(metric(&twilio, Metric::SmsFailures, "throttled"), 2);
}

#[test]
fn what_may_have_been_taken_is_unknown_and_never_sent_again() {
    for act in [
        Act::Close,
        Act::Reset,
        Act::HalfHead,
        Act::Silence,
        Act::Refuse(500, "", 20500),
        Act::Refuse(502, "", 0),
        Act::Refuse(503, "Retry-After: 1\r\n", 20503),
        Act::Refuse(504, "", 0),
        Act::Refuse(408, "", 0),
    ] {
        let double = Double::start();
        let twilio = if matches!(act, Act::Silence) { impatient(&double) } else { twilio(&double) };
        double.plan([act.clone()]);
        run(async {
            assert_eq!(twilio.send(&sms(1)).await, Err(SmsError::Unknown), "{act:?}");
            // Nor by anything that goes on in the background.
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
        assert!(double.seen().len() <= 1 && double.connections() == 1, "{act:?}");
        assert_eq!(metric(&twilio, Metric::SmsSends, "unknown"), 1, "{act:?}");
        assert!(twilio.counts().health.report().degraded.is_some(), "{act:?}");
    }
}

#[test]
fn the_status_is_worth_something_without_its_body() {
    let check = |act: Act, expected: Result<(), SmsError>| {
        let double = Double::start();
        let twilio = impatient(&double);
        double.plan([act.clone()]);
        run(async {
            assert_eq!(twilio.send(&sms(1)).await, expected, "{act:?}");
            assert_eq!(double.seen().len(), 1, "{act:?}");
            assert_eq!(twilio.send(&sms(2)).await, Ok(()));
        });
        assert_eq!(double.connections(), 2, "what is not read to its end is not used again");
    };
    // Each waits until its time is over.
    std::thread::scope(|scope| {
        for (act, expected) in [
            (Act::NoBody(201), Ok(())),
            (Act::LongBody, Ok(())),
            (Act::NoBody(400), Err(SmsError::Refused)),
            (Act::NoBody(401), Err(SmsError::Unavailable)),
            (Act::NoBody(500), Err(SmsError::Unknown)),
        ] {
            scope.spawn(move || check(act, expected));
        }
    });
}

#[test]
fn without_a_connection_nothing_was_sent_and_it_is_tried_again() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("bound");
    let twilio = Twilio::new(options(format!("http://{gone}"))).expect("good");
    assert_eq!(run(twilio.send(&sms(1))), Err(SmsError::Unavailable));
    assert_eq!(metric(&twilio, Metric::SmsRepeats, "unreachable"), u64::from(REPEATS_MAX));
    assert_eq!(metric(&twilio, Metric::SmsFailures, "unreachable"), 1);
    assert_eq!(metric(&twilio, Metric::SmsConnections, ""), 0);
}

#[test]
fn a_kept_connection_that_ended_costs_no_message() {
    let double = Double::start();
    let twilio = twilio(&double);
    double.plan([Act::TakeAndClose]);
    run(async {
        assert_eq!(twilio.send(&sms(1)).await, Ok(()));
        // Its end arrives.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(twilio.send(&sms(2)).await, Ok(()));
    });
    assert_eq!((double.taken().len(), double.connections()), (2, 2));
}

#[test]
fn many_at_once_are_each_sent_once() {
    let double = Double::start();
    let twilio = std::sync::Arc::new(twilio(&double));
    run(async {
        let tasks: Vec<_> = (0..64)
            .map(|n| {
                let twilio = std::sync::Arc::clone(&twilio);
                tokio::spawn(async move { twilio.send(&sms(n)).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.expect("no panic"), Ok(()));
        }
    });
    let mut numbers: Vec<_> =
        double.taken().iter().filter_map(|seen| seen.value("To").map(str::to_owned)).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!((double.taken().len(), numbers.len()), (64, 64));
}
