//! The reactor against real sockets, files and threads, with a tiny chat in place of the engine. Every test runs on
//! both drivers; those of io_uring are skipped, loudly, where the kernel refuses it.

mod chat;
mod client;
mod refused;
mod requests;
mod server;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use lynk_domain::Nanos;
use lynk_protocol::CloseCode;
use lynk_reactor::{Backend, monotonic_now};

use client::Client;
use requests::{
    a_proxy_says_whose_request_it_is, a_request_is_handed_over_wherever_the_network_cuts_it,
    a_request_that_nobody_has_room_for_is_answered_503,
    requests_and_sockets_of_one_shard_do_not_disturb_each_other,
    who_begins_a_request_and_stops_is_timed_out_by_the_shard,
};
use server::{Server, Setup};

macro_rules! on_both_drivers {
    ($($name:ident)*) => {
        mod epoll {
            $(#[test] fn $name() { super::$name(lynk_reactor::Backend::Epoll); })*
        }
        mod uring {
            $(#[test] fn $name() {
                if super::server::uring_works() {
                    super::$name(lynk_reactor::Backend::Uring);
                }
            })*
        }
    };
}

on_both_drivers! {
    two_clients_chat_durably
    shards_pass_mail_and_wake_each_other
    one_connection_in_fifty_rooms_receives_an_exact_stream
    a_thousand_slow_readers_cost_no_more_than_their_cap
    a_flood_beyond_a_flush_reaches_everyone_in_chunks
    half_open_sockets_are_bounded_and_time_out
    sockets_beyond_the_limit_wait_until_there_is_room
    connections_that_wait_when_a_drain_begins_are_answered
    a_shard_that_hangs_in_a_turn_shows_it
    a_trusted_proxy_says_who_its_clients_are
    nobody_else_says_who_he_is
    a_large_message_in_small_pieces_arrives_whole
    everything_a_peer_sent_before_it_left_is_heard
    a_close_and_a_shutdown_at_once_are_answered
    a_drain_answers_newcomers_and_ends
    a_stopped_shard_closes_its_connections
    an_abrupt_end_is_counted
    a_request_is_handed_over_wherever_the_network_cuts_it
    requests_and_sockets_of_one_shard_do_not_disturb_each_other
    a_request_that_nobody_has_room_for_is_answered_503
    who_begins_a_request_and_stops_is_timed_out_by_the_shard
    a_proxy_says_whose_request_it_is
}

fn start(backend: Backend) -> Server {
    Server::start(Setup::new(backend))
}

fn two_clients_chat_durably(backend: Backend) {
    let server = start(backend);
    let (mut ann, mut bob) = (Client::connect(&server), Client::connect(&server));
    ann.send("join 1");
    bob.send("join 1");
    ann.expect("joined 1");
    bob.expect("joined 1");
    for i in 0..200 {
        ann.send(&format!("say 1 hello {i}"));
        ann.expect(&format!("1: hello {i}"));
        bob.expect(&format!("1: hello {i}"));
    }
    let snapshot = server.settled_snapshot(|snapshot| snapshot.journal.records == 200);
    assert!(snapshot.journal_sync.count() > 0);
    assert_eq!(snapshot.reactor.connections, 2);
    server.stop();
}

fn shards_pass_mail_and_wake_each_other(backend: Backend) {
    let server = Server::start(Setup { shards: 3, ..Setup::new(backend) });
    // Enough connections that every shard has some: the kernel spreads them by hash.
    let mut clients: Vec<_> = (0..40).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.send("join 7");
        client.expect("joined 7");
    }
    for i in 0..30 {
        let speaker = i % clients.len();
        clients[speaker].send(&format!("say 7 round {i}"));
        for client in &mut clients {
            client.expect(&format!("7: round {i}"));
        }
    }
    let snapshot = server.snapshot_sum();
    assert!(snapshot.mail_posted >= 60, "{}", snapshot.mail_posted);
    assert!(snapshot.wakes > 0);
    assert_eq!((snapshot.mail_refused, snapshot.wakes_failed), (0, 0));
    server.stop();
}

fn one_connection_in_fifty_rooms_receives_an_exact_stream(backend: Backend) {
    let setup = Setup::new(backend).with_config(|config, socket| {
        // The tiny chat drops what a slow consumer misses, so nobody is to be one here.
        config.connection.send_queue_bytes_high = 16 << 20;
        config.connection.send_queue_bytes_max = 32 << 20;
        socket.send_buffer_bytes = Some(1);
    });
    let server = Server::start(setup);
    let mut reader = Client::connect_with_window(&server, 1);
    for room in 0..50 {
        reader.send(&format!("join {room}"));
        reader.expect(&format!("joined {room}"));
    }
    let mut writers: Vec<_> = (0..5).map(|_| Client::connect(&server)).collect();
    // Frames of very different sizes in all rooms. Rounds end with an empty queue, so that each begins on the fast path.
    for round in 0..60 {
        let size = |room: usize| (round * 37 + room * 11) % 900;
        for (i, writer) in writers.iter_mut().enumerate() {
            for room in (i..50).step_by(5) {
                writer.send(&format!("say {room} {round} {}", "x".repeat(size(room))));
            }
        }
        let mut seen = [false; 50];
        while seen.contains(&false) {
            let text = reader.next_text();
            let (room, rest) = text.split_once(": ").expect("a message");
            let room: usize = room.parse().expect("a room");
            assert!(!std::mem::replace(&mut seen[room], true), "room {room} twice");
            assert!(rest == format!("{round} {}", "x".repeat(size(room))), "room {room} round {round}");
        }
    }
    let snapshot = server.settled_snapshot(|snapshot| snapshot.reactor.sends_short > 0);
    assert!(snapshot.reactor.sends_slow > 0, "the slow path was taken");
    let received = reader.received + writers.iter().map(|writer| writer.received).sum::<u64>();
    server.settled_snapshot(|snapshot| snapshot.reactor.sent_bytes == received);
    server.stop();
}

fn a_thousand_slow_readers_cost_no_more_than_their_cap(backend: Backend) {
    const READERS: usize = 1_000;
    let (high, max) = (8 << 10, 32 << 10);
    let setup = Setup::new(backend).with_config(|config, socket| {
        config.connection.send_queue_bytes_high = high;
        config.connection.send_queue_bytes_low = 1 << 10;
        config.connection.send_queue_bytes_max = max;
        config.connection.send_stall_nanos_max = 2 * Nanos::SECOND;
        socket.send_buffer_bytes = Some(1);
    });
    let server = Server::start(setup);
    let mut readers: Vec<_> = (0..READERS).map(|_| Client::connect_with_window(&server, 1)).collect();
    for reader in &mut readers {
        reader.send("join 3");
        reader.expect("joined 3");
    }
    let mut writer = Client::connect(&server);
    // Far more than all caps together, to readers that do not read.
    let payload = "y".repeat(1_000);
    for i in 0..400 {
        writer.send(&format!("shout 3 {payload}"));
        if i % 20 == 0 {
            writer.send("echo paced");
            writer.expect("paced");
        }
    }
    writer.send("echo done");
    writer.expect("done");
    // Without progress they are closed as slow consumers; a healthy connection does not notice.
    server.settled_snapshot(|snapshot| {
        let names = lynk_connection::EndReason::all().map(lynk_connection::EndReason::name);
        let slow: u64 = names
            .zip(snapshot.reactor.ended)
            .filter(|(name, _)| name.starts_with("send_"))
            .map(|(_, count)| count)
            .sum();
        slow == READERS as u64
    });
    let snapshot = server.settled_snapshot(|snapshot| snapshot.reactor.queued_bytes == 0);
    // The one frame on top is what takes a queue beyond its maximum.
    let cap = READERS as u64 * u64::from(max + 1_010);
    let queued = snapshot.reactor.queued_bytes_max;
    assert!((cap / 8..=cap).contains(&queued), "{queued} bytes queued, {cap} allowed");
    writer.send("echo still here");
    writer.expect("still here");
    drop(readers);
    server.stop();
}

fn a_flood_beyond_a_flush_reaches_everyone_in_chunks(backend: Backend) {
    let server = start(backend);
    let mut readers: Vec<_> = (0..300).map(|_| Client::connect(&server)).collect();
    for reader in &mut readers {
        reader.send("join 5");
        reader.expect("joined 5");
    }
    let mut writer = Client::connect(&server);
    for i in 0..20 {
        writer.send(&format!("say 5 part {i}"));
    }
    for reader in &mut readers {
        for i in 0..20 {
            reader.expect(&format!("5: part {i}"));
        }
    }
    let snapshot = server.settled_snapshot(|snapshot| snapshot.engine.deliveries >= 6_000);
    assert_eq!(snapshot.reactor.flush_deliveries_max, 128);
    server.stop();
}

fn half_open_sockets_are_bounded_and_time_out(backend: Backend) {
    let setup = Setup::new(backend).with_config(|config, _| {
        config.half_open_max = 50;
        config.connection.head_nanos_max = 3 * Nanos::SECOND;
    });
    let server = Server::start(setup);
    let mut sockets: Vec<TcpStream> = (0..80).map(|_| server.dial()).collect();
    for (i, socket) in sockets.iter_mut().enumerate() {
        // Some say nothing, some begin a request; a write to a refused one may fail.
        let _refused = socket.write_all(&b"GET /ws HTTP/1.1\r\nHost: x"[..i % 20]);
    }
    let snapshot = server.settled_snapshot(|snapshot| snapshot.reactor.accepted == 80);
    assert_eq!(snapshot.reactor.refused_half_open, 30);
    let mut answers = 0;
    for mut socket in sockets {
        let mut answer = Vec::new();
        let _reset = socket.read_to_end(&mut answer);
        answers += usize::from(answer.starts_with(b"HTTP/1.1 408"));
    }
    assert_eq!(answers, 50);
    let snapshot = server.settled_snapshot(|snapshot| snapshot.reactor.connections == 0);
    assert_eq!(snapshot.reactor.half_open, 0);
    let mut late = Client::connect(&server);
    late.send("echo welcome");
    late.expect("welcome");
    server.stop();
}

fn sockets_beyond_the_limit_wait_until_there_is_room(backend: Backend) {
    let setup = Setup::new(backend).with_config(|config, _| config.connections_max = 3);
    let server = Server::start(setup);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(&server)).collect();
    let late: Vec<_> = (0..2).map(|_| server.dial()).collect();
    // Longer than a listener pauses, so that it looks several times.
    std::thread::sleep(Duration::from_millis(350));
    let snapshot = server.settled_snapshot(|snapshot| snapshot.reactor.connections == 3);
    assert_eq!((snapshot.reactor.accepted, snapshot.reactor.refused_full), (3, 0));
    assert_eq!(snapshot.reactor.accept_full, 1);
    clients.truncate(1);
    for socket in late {
        let mut late = Client::upgrade(socket);
        late.send("echo welcome");
        late.expect("welcome");
    }
    server.stop();
}

fn connections_that_wait_when_a_drain_begins_are_answered(backend: Backend) {
    let setup = Setup::new(backend).with_config(|config, _| config.connections_max = 2);
    let server = Server::start(setup);
    let clients: Vec<_> = (0..2).map(|_| Client::connect(&server)).collect();
    let waiting: Vec<_> = (0..50).map(|_| server.dial()).collect();
    server.handles[0].drain(monotonic_now().after(Nanos::SECOND));
    for mut socket in waiting {
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).expect("an answer, and the end");
        assert!(answer.starts_with(b"HTTP/1.1 503"), "{:?}", String::from_utf8_lossy(&answer));
    }
    drop(clients);
    server.stop();
}

fn a_shard_that_hangs_in_a_turn_shows_it(backend: Backend) {
    let server = start(backend);
    let pulse = server.handles[0].pulse();
    let mut client = Client::connect(&server);
    client.send("hang 3000");
    server.wait_until("hung", |_| pulse.in_turn_nanos(monotonic_now()) > 200 * Nanos::MILLISECOND);
    client.send("echo back");
    client.expect("back");
    server.wait_until("asleep", |_| pulse.in_turn_nanos(monotonic_now()) == 0);
    let snapshot = server.settled_snapshot(|snapshot| snapshot.reactor.stalls > 0);
    assert!(snapshot.reactor.turn_nanos_max >= 3 * Nanos::SECOND);
    server.stop();
}

/// A PROXY header from `192.0.2.7`.
fn proxy_header() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend([192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80]);
    header
}

/// Setup of a server that trusts `proxies`.
fn trusting(backend: Backend, proxies: &str) -> Setup {
    let network = lynk_http::Network::parse(proxies).expect("valid");
    Setup::new(backend).with_config(|config, _| {
        config.connection.trusted_proxies = lynk_http::TrustedProxies::new(vec![network]);
    })
}

/// What the server answers to these first bytes of a connection, to its end.
fn answer_to(server: &Server, words: &[u8]) -> String {
    let mut socket = server.dial();
    socket.write_all(words).expect("open");
    let mut answer = Vec::new();
    let _reset = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn a_trusted_proxy_says_who_its_clients_are(backend: Backend) {
    let server = Server::start(trusting(backend, "127.0.0.0/8"));
    // The header in two pieces, the second of which begins the request.
    let mut socket = server.dial();
    socket.set_nodelay(true).expect("settable");
    let header = proxy_header();
    socket.write_all(&header[..9]).expect("open");
    std::thread::sleep(Duration::from_millis(20));
    socket.write_all(&header[9..]).expect("open");
    let mut client = Client::upgrade(socket);
    client.send("from");
    client.expect("192.0.2.0/24");
    // Without a word about its client it is the client.
    let mut client = Client::connect(&server);
    client.send("from");
    client.expect("127.0.0.0/24");
    let mut client = Client::upgrade_with(server.dial(), "X-Forwarded-For: 203.0.113.1, 198.51.100.9\r\n");
    client.send("from");
    client.expect("198.51.100.0/24");
    // One that leaves before it said anything was never there for the chat.
    drop(server.dial());
    let mut broken = header;
    broken[12] = 0x31;
    assert!(answer_to(&server, &broken).starts_with("HTTP/1.1 400 "));
    let reason = lynk_connection::EndReason::Refused(lynk_http::Refusal::ProxyMalformed).index();
    server.settled_snapshot(|snapshot| snapshot.reactor.ended[reason] == 1);
    server.settled_snapshot(|snapshot| snapshot.reactor.connections == 3);
    server.stop();
}

fn nobody_else_says_who_he_is(backend: Backend) {
    let server = Server::start(trusting(backend, "10.0.0.0/8"));
    let mut client = Client::upgrade_with(server.dial(), "X-Forwarded-For: 192.0.2.7\r\n");
    client.send("from");
    client.expect("127.0.0.0/24");
    assert!(answer_to(&server, &proxy_header()).starts_with("HTTP/1.1 400 "));
    server.stop();
}

fn a_large_message_in_small_pieces_arrives_whole(backend: Backend) {
    let server = start(backend);
    let mut client = Client::connect(&server);
    let text = "z".repeat(100_000);
    client.send_in_pieces(&format!("echo {text}"), 1_000);
    client.expect(&text);
    server.stop();
}

fn everything_a_peer_sent_before_it_left_is_heard(backend: Backend) {
    let server = start(backend);
    let mut listener = Client::connect(&server);
    listener.send("join 9");
    listener.expect("joined 9");
    for round in 0..20 {
        let mut goner = Client::connect(&server);
        for i in 0..50 {
            goner.send(&format!("say 9 {round}.{i}"));
        }
        goner.leave();
        for i in 0..50 {
            listener.expect(&format!("9: {round}.{i}"));
        }
    }
    server.stop();
}

fn a_close_and_a_shutdown_at_once_are_answered(backend: Backend) {
    let server = start(backend);
    for _ in 0..20 {
        let mut client = Client::connect(&server);
        client.close_and_leave(1000);
        assert_eq!(client.expect_close(), 1000);
    }
    let mut other = Client::connect(&server);
    other.send("echo still here");
    other.expect("still here");
    server.stop();
}

fn a_drain_answers_newcomers_and_ends(backend: Backend) {
    let server = start(backend);
    let mut client = Client::connect(&server);
    client.send("join 1");
    client.expect("joined 1");
    for handle in &server.handles {
        assert!(handle.is_listening());
        handle.drain(monotonic_now().after(Nanos::SECOND));
    }
    assert_eq!(client.expect_close(), CloseCode::Shutdown.number());
    server.wait_until("drained", |server| server.handles.iter().all(|handle| handle.is_drained()));
    assert!(server.handles.iter().all(|handle| !handle.is_listening()));
    server.wait_until("closed", |server| {
        TcpStream::connect_timeout(&server.address, Duration::from_secs(1)).is_err()
    });
    server.stop();
}

fn a_stopped_shard_closes_its_connections(backend: Backend) {
    let server = start(backend);
    let mut client = Client::connect(&server);
    client.send("echo here");
    client.expect("here");
    for handle in &server.handles {
        handle.stop();
    }
    assert_eq!(client.expect_close(), CloseCode::Shutdown.number());
    drop(client);
    server.stop();
}

fn an_abrupt_end_is_counted(backend: Backend) {
    let server = start(backend);
    let clients: Vec<_> = (0..20).map(|_| Client::connect(&server)).collect();
    for (i, client) in clients.into_iter().enumerate() {
        if i % 2 == 0 {
            client.reset();
        } else {
            drop(client);
        }
    }
    server.settled_snapshot(|snapshot| {
        snapshot.reactor.ended.iter().sum::<u64>() == 20 && snapshot.reactor.connections == 0
    });
    server.stop();
}
