//! Forms as bodies: `application/x-www-form-urlencoded`.
//!
//! Pure. Limits: [`PARAMETERS_MAX`] of a form that is read. What can fail: reading.

use std::fmt::Write as _;

/// Parameters of a form that is read. A carrier sends some dozen.
const PARAMETERS_MAX: usize = 128;

/// Writes parameters, in their order.
pub(crate) fn encode(parameters: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in parameters {
        if !out.is_empty() {
            out.push('&');
        }
        encode_part(&mut out, name);
        out.push('=');
        encode_part(&mut out, value);
    }
    out
}

fn encode_part(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// A name and its value.
pub(crate) type Parameter = (Vec<u8>, Vec<u8>);

/// Reads parameters, in their order; `None` for what is no form, or too long a one.
pub(crate) fn decode(body: &[u8]) -> Option<Vec<Parameter>> {
    let mut parameters = Vec::new();
    for part in body.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
        if parameters.len() == PARAMETERS_MAX {
            return None;
        }
        let split = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
        let value = part.get(split + 1..).unwrap_or_default();
        parameters.push((decode_part(&part[..split])?, decode_part(value)?));
    }
    Some(parameters)
}

fn decode_part(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => *byte,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let parameters = [("To", "+4915112345678"), ("Body", "a b&c=d%é.\n"), ("Empty", "")];
        let text = encode(&parameters);
        assert_eq!(text, "To=%2B4915112345678&Body=a+b%26c%3Dd%25%C3%A9.%0A&Empty=");
        let read = decode(text.as_bytes()).expect("a form");
        for ((name, value), read) in parameters.iter().zip(&read) {
            assert_eq!((name.as_bytes(), value.as_bytes()), (&read.0[..], &read.1[..]));
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for bad in ["a=%", "a=%4", "a=%zz", "%=1", "a=%+1"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(decode(b""), Some(Vec::new()));
        assert_eq!(
            decode(b"&a&&b=="),
            Some(vec![(b"a".to_vec(), Vec::new()), (b"b".to_vec(), b"=".to_vec())])
        );
        assert_eq!(
            decode("a=1&".repeat(PARAMETERS_MAX).as_bytes()).map(|all| all.len()),
            Some(PARAMETERS_MAX)
        );
        assert_eq!(decode("a=1&".repeat(PARAMETERS_MAX + 1).as_bytes()), None);
    }
}
