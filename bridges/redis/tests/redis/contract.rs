//! The suite of the port, on the server.

use std::time::Duration;

use lynk_model::contract::{self, Bench, wait};
use lynk_model::port::Ephemeral as _;

use crate::support::{now, services};

fn seed() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("random bytes");
    u64::from_be_bytes(bytes)
}

#[test]
fn it_passes_the_suite_of_the_port() {
    let Some(services) = services("it_passes_the_suite_of_the_port") else { return };
    let bridge = services.bridge(&services.connect());
    contract::ephemeral(|test| {
        let pass = |millis| std::thread::sleep(Duration::from_millis(millis + 20));
        test(&Bench { store: &bridge.handle(), pass: &pass, seed: seed() });
    });
    assert!(bridge.handle().names_are_local(), "this server has no CF.*");
    bridge.finish();
}

#[test]
fn processes_see_each_others_state_and_answer_for_themselves_only() {
    let Some(services) = services("processes_see_each_others_state") else { return };
    let (first, second) = (services.bridge(&services.connect()), services.bridge(&services.connect()));
    let (one, other) = (first.handle(), second.handle());
    let mut user = [1; 16];
    user[..8].copy_from_slice(&seed().to_be_bytes());
    let user = lynk_domain::UserId(user);
    let seen = |online| vec![lynk_model::port::Seen { user, online }];
    let online = || wait(one.mirrored_presence(now(), vec![user]))[0];
    wait(one.mirror_presence(now(), seen(true), 60_000));
    wait(other.mirror_presence(now(), seen(true), 60_000));
    wait(one.mirror_presence(now(), seen(false), 60_000));
    assert!(online(), "at the other process still");
    wait(other.mirror_presence(now(), seen(false), 60_000));
    assert!(!online());
    first.finish();
    second.finish();
}
