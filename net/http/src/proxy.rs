//! Who a connection is from when a trusted proxy opened it: PROXY protocol version 2, `Forwarded`, `X-Forwarded-For`.
//!
//! All of these are claims, and anyone can make them. They count only from a peer on the list, and of a list of hops only
//! what a trusted one has added: the last address that is not trusted itself.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::request::Headers;
use crate::{HEAD_BYTES_MAX, HEAD_LINES_MAX, Refusal};

/// Longest PROXY protocol header, its extensions included.
pub const PROXY_BYTES_MAX: usize = 2 << 10;
const _: () = assert!(PROXY_BYTES_MAX <= HEAD_BYTES_MAX, "both arrive in the same buffer");

/// What no HTTP request begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;

/// An address, or all that begin like it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    /// Leading bits that count.
    bits: u8,
}

impl Network {
    /// Parses `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`. `None` for anything else, also for an address with bits behind
    /// the prefix, which is a slip of the pen.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits: u8 = bits.map_or(Some(width), |bits| bits.parse().ok()).filter(|bits| *bits <= width)?;
        let network = Self { address, bits };
        (masked(address, bits) == masked(address, width)).then_some(network)
    }

    /// Whether `address` is in it. An IPv4 address in IPv6 form is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let family = address.is_ipv4() == self.address.is_ipv4();
        family && masked(address, self.bits) == masked(self.address, self.bits)
    }
}

/// The first `bits` of an address at the top of the number, nothing below.
fn masked(address: IpAddr, bits: u8) -> u128 {
    let number = match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    number & !u128::MAX.checked_shr(u32::from(bits)).unwrap_or(0)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// The proxies that may say who their clients are. None by default.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Those in `networks`.
    #[must_use]
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// What stands at the start of a trusted proxy's connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyHeader {
    /// No PROXY header; the request begins here.
    Absent,
    /// A header of `bytes` bytes, behind which the request begins.
    Present {
        /// The client's address; `None` when the proxy speaks for itself (a health check) or for no IP address.
        client: Option<IpAddr>,
        /// Length of the header.
        bytes: usize,
    },
}

/// Decodes the PROXY protocol header, version 2, at the start of `bytes`. `None` when it is cut short; call again with
/// more, from the same start. Extensions are skipped.
///
/// # Errors
/// [`Refusal::ProxyMalformed`].
pub fn decode_proxy_header(bytes: &[u8]) -> Result<Option<ProxyHeader>, Refusal> {
    let seen = bytes.len().min(SIGNATURE.len());
    if bytes[..seen] != SIGNATURE[..seen] {
        return Ok(Some(ProxyHeader::Absent));
    }
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_BYTES) else { return Ok(None) };
    let (version, command, family) = (fixed[12] >> 4, fixed[12] & 0xf, fixed[13] >> 4);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if version != 2 || command > 1 || family > 3 || fixed[13] & 0xf > 2 {
        return Err(Refusal::ProxyMalformed);
    }
    if FIXED_BYTES + length > PROXY_BYTES_MAX {
        return Err(Refusal::ProxyMalformed);
    }
    let Some(block) = rest.get(..length) else { return Ok(None) };
    // Source and destination address, source and destination port; for a Unix socket two paths.
    let needed = [0, 12, 36, 216][usize::from(family)];
    let local = command == 0;
    if !local && length < needed {
        return Err(Refusal::ProxyMalformed);
    }
    let client = match family {
        _ if local => None,
        1 => block.first_chunk::<4>().map(|octets| IpAddr::V4(Ipv4Addr::from(*octets))),
        2 => block.first_chunk::<16>().map(|octets| IpAddr::V6(Ipv6Addr::from(*octets))),
        _ => None,
    };
    Ok(Some(ProxyHeader::Present { client, bytes: FIXED_BYTES + length }))
}

/// The client that a trusted proxy names in a complete request head: the last hop of `Forwarded` or `X-Forwarded-For`
/// that is not `trusted` itself. `None` when it names none.
///
/// A proxy maintains one of the two and may pass the other one on as the client wrote it, and nothing here tells which.
/// So when both are there they must agree; otherwise neither counts.
#[must_use]
pub fn forwarded_client(head: &[u8], trusted: &TrustedProxies) -> Option<IpAddr> {
    let mut lines = [httparse::EMPTY_HEADER; HEAD_LINES_MAX];
    let mut request = httparse::Request::new(&mut lines);
    request.parse(head).ok()?;
    let headers = Headers(request.headers);
    let forwarded: Vec<_> = headers.all("forwarded").flat_map(|value| split(value, b',')).collect();
    let plain: Vec<_> = headers.all("x-forwarded-for").flat_map(|value| split(value, b',')).collect();
    let by_forwarded = last_untrusted(forwarded.iter().rev().map(|hop| node_of_hop(hop)), trusted);
    let by_plain = last_untrusted(plain.iter().rev().map(|hop| node(hop)), trusted);
    match (forwarded.is_empty(), plain.is_empty()) {
        (false, false) => by_forwarded.filter(|client| Some(*client) == by_plain),
        (false, true) => by_forwarded,
        (true, _) => by_plain,
    }
}

/// The first of `hops`, nearest first, that is not trusted. A hop without an address hides what is behind it: then, and
/// when all are trusted, the farthest that is known.
fn last_untrusted(hops: impl Iterator<Item = Option<IpAddr>>, trusted: &TrustedProxies) -> Option<IpAddr> {
    let mut known = None;
    for hop in hops {
        let Some(address) = hop else { break };
        known = Some(address);
        if !trusted.contains(address) {
            break;
        }
    }
    known
}

/// Items of a list that are not empty, trimmed. A separator within quotes is none; an open quote lasts to the end.
fn split(value: &[u8], separator: u8) -> Vec<&[u8]> {
    let mut items = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if *byte == separator && !quoted => {
                items.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&value[start..]);
    items.into_iter().map(<[u8]>::trim_ascii).filter(|item| !item.is_empty()).collect()
}

/// The address in one element of `Forwarded` (RFC 7239): that of its only `for` parameter.
fn node_of_hop(hop: &[u8]) -> Option<IpAddr> {
    let mut nodes = split(hop, b';').into_iter().filter_map(|pair| {
        let (name, value) = pair.split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    });
    let value = nodes.next().filter(|_| nodes.next().is_none())?;
    let value = value.strip_prefix(b"\"").map_or(Some(value), |value| value.strip_suffix(b"\""))?;
    node(value)
}

/// An address with or without a port: `192.0.2.7`, `192.0.2.7:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (IpAddr::V6(address.parse().ok()?), port)
        }
        None => match text.parse::<IpAddr>() {
            Ok(address) => (address, ""),
            Err(_) => {
                let end = text.rfind(':')?;
                (IpAddr::V4(text[..end].parse().ok()?), &text[end..])
            }
        },
    };
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    port_fits.then(|| address.to_canonical())
}

#[cfg(test)]
mod tests;
