//! A kernel that refuses io_uring: epoll takes over, with one warning that names cause and cure.
//!
//! The filter is put on a thread of its own, from which the server's threads inherit it.

use std::collections::BTreeMap;

use lynk_reactor::{Backend, Chosen, Plan, StartError};
use lynk_ring::{Cause, Options};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::client::Client;
use crate::server::{Server, Setup};

/// Runs `body` on a thread where making a ring fails with `errno`.
fn under_refusal(errno: i32, body: impl FnOnce() + Send + 'static) {
    let refused = std::thread::spawn(move || {
        let rules = BTreeMap::from([(libc::SYS_io_uring_setup, Vec::new())]);
        let arch = std::env::consts::ARCH.try_into().expect("a known processor");
        let refuse = SeccompAction::Errno(errno as u32);
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).expect("a valid filter");
        let program: BpfProgram = filter.try_into().expect("it compiles");
        seccompiler::apply_filter(&program).expect("a thread may restrict itself");
        body();
    });
    refused.join().expect("no panic");
}

#[test]
fn a_refused_ring_falls_back_to_epoll_with_one_warning() {
    for (errno, cause, cure) in [
        (libc::EPERM, Cause::Refused, "seccomp"),
        (libc::ENOSYS, Cause::Absent, "kernel of 6.1"),
        (libc::ENOMEM, Cause::Memory, "LimitMEMLOCK"),
    ] {
        under_refusal(errno, move || {
            let plan = Plan::new(Backend::Auto, 2, &Options::default()).expect("epoll can be had");
            assert_eq!(plan.chosen(), Chosen::Epoll);
            let fallback = plan.fallback().expect("a warning");
            assert_eq!(fallback.error().cause(), cause);
            let text = fallback.to_string();
            assert!(text.contains("using epoll") && text.contains("io_uring: setup"), "{text}");
            assert!(text.contains(cure), "{text}");
            drop(plan);
            let server = Server::start(Setup { shards: 2, ..Setup::new(Backend::Auto) });
            let mut client = Client::connect(&server);
            client.send("join 1");
            client.expect("joined 1");
            client.send("say 1 hello");
            client.expect("1: hello");
            server.stop();
        });
    }
}

#[test]
fn a_demanded_ring_that_is_refused_is_an_error_with_its_cure() {
    under_refusal(libc::EPERM, || {
        let error = Plan::new(Backend::Uring, 1, &Options::default()).err().expect("no ring, no start");
        assert!(matches!(error, StartError::Ring(_)));
        assert!(error.to_string().contains("seccomp"), "{error}");
    });
}

#[test]
fn an_unknown_failure_is_not_papered_over() {
    under_refusal(libc::EIO, || {
        assert!(Plan::new(Backend::Auto, 1, &Options::default()).is_err());
    });
}
