//! Plain HTTP requests leave the shard with their socket and everything that was read.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

use lynk_bridge::Handover;
use lynk_engine::{API_ANSWERS_MAX, ApiInput, ApiOutput};
use lynk_mailbox::{Consumer, Producer, channel, sleeper};
use lynk_reactor::{ApiPort, Backend};

use crate::client::Client;
use crate::server::{Server, Setup};

/// The bridge's side of one shard.
struct Bridge {
    sockets: Consumer<Handover>,
    _answers: Consumer<ApiOutput>,
    _inputs: Producer<ApiInput>,
}

impl Bridge {
    fn with_room_for(sockets: usize) -> (Self, ApiPort) {
        let (to, sockets) = channel(sockets);
        let (answers, from) = channel(API_ANSWERS_MAX);
        let (inputs, commands) = channel(16);
        let (_, bell) = sleeper();
        let bridge = Self { sockets, _answers: from, _inputs: inputs };
        (bridge, ApiPort { sockets: to, answers, inputs: commands, bell, wake: Box::new(|| ()) })
    }

    fn take(&mut self) -> Handover {
        let start = Instant::now();
        loop {
            if let Some(handover) = self.sockets.take() {
                return handover;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "nothing was handed over");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn start(backend: Backend, sockets: usize) -> (Server, Bridge) {
    let (bridge, port) = Bridge::with_room_for(sockets);
    (Server::start(Setup { apis: vec![port], ..Setup::new(backend) }), bridge)
}

/// Reads until `expected` bytes have come; the bridge's end of the socket blocks.
fn read_exactly(socket: &mut TcpStream, expected: usize) -> Vec<u8> {
    let mut bytes = vec![0; expected];
    socket.read_exact(&mut bytes).expect("the other end sends");
    bytes
}

pub(crate) fn a_request_is_handed_over_wherever_the_network_cuts_it(backend: Backend) {
    let (server, mut bridge) = start(backend, 256);
    let request = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    for cut in 0..=request.len() {
        let mut client = server.dial();
        client.set_nodelay(true).expect("settable");
        let (first, second) = request.split_at(cut);
        client.write_all(first).expect("open");
        std::thread::sleep(Duration::from_millis(2));
        client.write_all(second).expect("open");
        let handover = bridge.take();
        assert_eq!(handover.client, IpAddr::from([127, 0, 0, 1]));
        // The bridge reads on where the shard stopped, and answers on the same socket.
        let mut socket = TcpStream::from(handover.socket);
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("settable");
        let mut whole = handover.read;
        let rest = read_exactly(&mut socket, request.len() - whole.len());
        whole.extend_from_slice(&rest);
        assert_eq!(whole, request, "cut at {cut}");
        client.write_all(b"more").expect("open");
        assert_eq!(read_exactly(&mut socket, 4), b"more", "nobody else reads it");
        socket.write_all(b"answer").expect("open");
        assert_eq!(read_exactly(&mut client, 6), b"answer");
    }
    let snapshot = server.settled_snapshot(|snapshot| snapshot.reactor.connections == 0);
    assert_eq!(snapshot.reactor.half_open, 0);
    server.stop();
}

pub(crate) fn requests_and_sockets_of_one_shard_do_not_disturb_each_other(backend: Backend) {
    let (server, mut bridge) = start(backend, 256);
    let mut kept = Vec::new();
    for round in 0..50 {
        let mut chatting = Client::connect(&server);
        let mut client = server.dial();
        client
            .write_all(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\nGET /y HTTP/1.1\r\nHost: h\r\n\r\n")
            .expect("open");
        let handover = bridge.take();
        assert!(
            handover.read.ends_with(b"GET /y HTTP/1.1\r\nHost: h\r\n\r\n"),
            "pipelined requests go along"
        );
        // The slot is free again: the next connection gets it, and no event of the socket that left reaches it.
        let mut next = Client::connect(&server);
        client.write_all(b"more").expect("open");
        drop(client);
        next.send(&format!("echo {round}"));
        next.expect(&round.to_string());
        chatting.send(&format!("echo {round}"));
        chatting.expect(&round.to_string());
        kept.push(handover);
    }
    assert_eq!(server.settled_snapshot(|_| true).reactor.refused_requests, 0);
    server.stop();
}

pub(crate) fn a_request_that_nobody_has_room_for_is_answered_503(backend: Backend) {
    let (server, mut bridge) = start(backend, 2);
    let ask = || {
        let mut client = server.dial();
        client.write_all(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n").expect("open");
        client
    };
    let _waiting = [ask(), ask()];
    server.wait_until("both are handed over", |server| server.handles[0].snapshot().reactor.connections == 0);
    let mut text = String::new();
    ask().read_to_string(&mut text).expect("an answer, and the end");
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("Retry-After: "), "{text}");
    // The shard went on meanwhile, and there is room again.
    let mut chatting = Client::connect(&server);
    chatting.send("echo alive");
    chatting.expect("alive");
    drop((bridge.take(), bridge.take()));
    let _third = ask();
    drop(bridge.take());
    assert_eq!(server.settled_snapshot(|s| s.reactor.refused_requests == 1).reactor.refused_requests, 1);
    server.stop();
}

pub(crate) fn who_begins_a_request_and_stops_is_timed_out_by_the_shard(backend: Backend) {
    let (bridge, port) = Bridge::with_room_for(4);
    let setup = Setup { apis: vec![port], ..Setup::new(backend) };
    let server =
        Server::start(setup.with_config(|config, _| config.connection.head_nanos_max = 3_000_000_000));
    let mut client = server.dial();
    client.write_all(b"GET /x HTTP/1.1\r\nHost").expect("open");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("an answer, and the end");
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    drop(bridge);
    // Without a bridge that listens, requests are refused as if there were no room.
    let mut client = server.dial();
    client.write_all(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n").expect("open");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("an answer, and the end");
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    server.stop();
}

pub(crate) fn a_proxy_says_whose_request_it_is(backend: Backend) {
    let (mut bridge, port) = Bridge::with_room_for(4);
    let setup = Setup { apis: vec![port], ..Setup::new(backend) }.with_config(|config, _| {
        let loopback = lynk_http::Network::parse("127.0.0.0/8").expect("a network");
        config.connection.trusted_proxies = lynk_http::TrustedProxies::new(vec![loopback]);
    });
    let server = Server::start(setup);
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x12\x34\0\x50".to_vec();
    let head = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n";
    header.extend_from_slice(head);
    let forwarded = b"GET /x HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n".to_vec();
    for (bytes, read, client) in [
        (header, head.to_vec(), IpAddr::from([192, 0, 2, 7])),
        (forwarded.clone(), forwarded, IpAddr::from([192, 0, 2, 7])),
        (head.to_vec(), head.to_vec(), IpAddr::from([127, 0, 0, 1])),
    ] {
        let mut proxy = server.dial();
        for part in bytes.chunks(20) {
            proxy.write_all(part).expect("open");
            std::thread::sleep(Duration::from_millis(2));
        }
        let handover = bridge.take();
        assert_eq!((handover.client, handover.read), (client, read));
    }
    server.stop();
}
