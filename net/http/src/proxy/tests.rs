use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn trusted(list: &[&str]) -> TrustedProxies {
    TrustedProxies::new(list.iter().map(|text| Network::parse(text).expect(text)).collect())
}

/// A header with these four bits each, and what follows.
fn header(version_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([version_command, family]);
    bytes.extend(u16::try_from(block.len()).expect("short").to_be_bytes());
    bytes.extend(block);
    bytes
}

/// `192.0.2.7:4660` to `198.51.100.1:80`.
const V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x34, 0, 80];

/// Decodes whole and cut everywhere: a cut one is incomplete, and a complete one does not look at what follows.
fn decode(bytes: &[u8]) -> Result<ProxyHeader, Refusal> {
    let whole = decode_proxy_header(bytes);
    let first =
        (0..=bytes.len()).map(|length| decode_proxy_header(&bytes[..length])).find(|r| *r != Ok(None));
    assert_eq!(first, Some(whole), "{bytes:?}");
    let mut followed = bytes.to_vec();
    followed.extend(b"GET /ws HTTP/1.1\r\n");
    assert_eq!(decode_proxy_header(&followed), whole);
    whole.map(|header| header.expect("complete"))
}

#[test]
fn a_header_names_its_client_however_it_is_cut() {
    let present = |client, bytes| Ok(ProxyHeader::Present { client, bytes });
    assert_eq!(decode(&header(0x21, 0x11, &V4)), present(Some(ip("192.0.2.7")), 28));
    let mut v6 = [0; 36];
    v6[..16].copy_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!(decode(&header(0x21, 0x21, &v6)), present(Some(ip("2001:db8::9")), 52));
    let extended = [&V4[..], &[4, 0, 3, 1, 2, 3]].concat();
    assert_eq!(decode(&header(0x21, 0x11, &extended)), present(Some(ip("192.0.2.7")), 34));
}

#[test]
fn a_proxy_that_speaks_for_itself_names_nobody() {
    let present = |bytes| Ok(ProxyHeader::Present { client: None, bytes });
    assert_eq!(decode(&header(0x20, 0x00, &[])), present(16));
    assert_eq!(decode(&header(0x20, 0x11, &V4)), present(28), "the address of a LOCAL header means nothing");
    assert_eq!(decode(&header(0x21, 0x00, &[1, 2, 3])), present(19));
    assert_eq!(decode(&header(0x21, 0x31, &[0; 216])), present(232));
}

#[test]
fn a_header_that_breaks_the_protocol_is_refused() {
    for bytes in [
        header(0x11, 0x11, &V4),
        header(0x31, 0x11, &V4),
        header(0x22, 0x11, &V4),
        header(0x21, 0x41, &V4),
        header(0x21, 0x13, &V4),
        header(0x21, 0x11, &V4[..11]),
        header(0x21, 0x21, &[0; 35]),
        header(0x21, 0x11, &[0; PROXY_BYTES_MAX - 15]),
    ] {
        assert_eq!(decode(&bytes), Err(Refusal::ProxyMalformed), "{bytes:?}");
    }
    assert!(decode(&header(0x21, 0x11, &[0; PROXY_BYTES_MAX - 16])).is_ok());
}

#[test]
fn anything_else_is_no_header() {
    for bytes in [&b"GET /ws"[..], b"\r\nGET /ws", b"\r\n\r\n\0\r\nQUIX\n", b"PROXY TCP4 192.0.2.7"] {
        assert_eq!(decode(bytes), Ok(ProxyHeader::Absent));
    }
    assert_eq!(decode_proxy_header(b""), Ok(None));
}

#[test]
fn networks_contain_what_begins_like_them() {
    for (network, inside, outside) in [
        ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
        ("192.0.2.7", "::ffff:192.0.2.7", "::192.0.2.7"),
        ("0.0.0.0/0", "203.0.113.9", "::1"),
        ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
        ("::1", "::1", "::2"),
    ] {
        let network = Network::parse(network).expect(network);
        assert!(network.contains(ip(inside)), "{network} {inside}");
        assert!(!network.contains(ip(outside)), "{network} {outside}");
    }
    for bad in
        ["", "10.0.0.0/33", "10.0.0.1/8", "::1/64", "10.0.0.0/-1", "10.0.0/8", "proxy.example", "::/129"]
    {
        assert_eq!(Network::parse(bad), None, "{bad}");
    }
    assert_eq!(Network::parse("10.0.0.0/8").expect("valid").to_string(), "10.0.0.0/8");
}

fn client(lines: &str) -> Option<IpAddr> {
    let head = format!("GET /ws HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
    forwarded_client(head.as_bytes(), &trusted(&["10.0.0.0/8", "2001:db8:1::/48"]))
}

#[test]
fn the_last_hop_that_is_not_trusted_is_the_client() {
    for (lines, expected) in [
        ("X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 203.0.113.1, 192.0.2.7\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 203.0.113.1, 192.0.2.7, 10.1.2.3, 10.1.2.4\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 203.0.113.1\r\nx-forwarded-for: 192.0.2.7,,10.0.0.1:80,\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 192.0.2.7:4711\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 10.0.0.3, 10.0.0.4\r\n", "10.0.0.3"),
        ("X-Forwarded-For: nonsense, 10.0.0.4\r\n", "10.0.0.4"),
        ("Forwarded: for=192.0.2.7\r\n", "192.0.2.7"),
        ("Forwarded: For=192.0.2.7;proto=https;by=10.0.0.1\r\n", "192.0.2.7"),
        ("Forwarded: for=203.0.113.1, for=192.0.2.7;host=\"a,b\", for=10.0.0.1\r\n", "192.0.2.7"),
        ("Forwarded: proto=https;for=\"[2001:db8::7]:4711\"\r\n", "2001:db8::7"),
        ("Forwarded: for=\"192.0.2.7:4711\", for=\"[2001:db8:1::1]\"\r\n", "192.0.2.7"),
        ("Forwarded: for=192.0.2.7\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"),
    ] {
        assert_eq!(client(lines), Some(ip(expected)), "{lines}");
    }
}

#[test]
fn what_names_nobody_for_certain_names_nobody() {
    for lines in [
        "",
        "X-Forwarded-For: \r\n",
        "X-Forwarded-For: 192.0.2.7, unknown\r\n",
        "X-Forwarded-For: [2001:db8::7\r\n",
        "X-Forwarded-For: 192.0.2.7:99999\r\n",
        "Forwarded: for=_hidden\r\n",
        "Forwarded: proto=https\r\n",
        "Forwarded: for=192.0.2.7;for=192.0.2.8\r\n",
        // A client that leaves a quote open swallows what the proxy adds, and gains nothing by it.
        "Forwarded: for=203.0.113.1, for=\", for=192.0.2.7\r\n",
        // One of the two was written by the client.
        "Forwarded: for=203.0.113.1\r\nX-Forwarded-For: 192.0.2.7\r\n",
        "Forwarded: for=unknown\r\nX-Forwarded-For: 192.0.2.7\r\n",
    ] {
        assert_eq!(client(lines), None, "{lines}");
    }
    assert_eq!(forwarded_client(b"GET", &TrustedProxies::default()), None);
}
