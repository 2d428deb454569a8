//! Whether a call was signed by the carrier.
//!
//! Pure. A signature is an HMAC-SHA1 under the account's token over the URL that was called and all parameters, each name
//! followed by its value, sorted by name; of values that are there twice, one. SHA-1 is the carrier's choice: what breaks SHA-1
//! (finding two texts of one hash) does not break an HMAC of it. The comparison takes the same time wherever two differ.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, verify};

use crate::form::Parameter;
use lynk_bridge::Secret;

/// The keys of an account: two while its token is being changed.
pub(crate) struct Verifier {
    keys: Vec<Key>,
}

impl Verifier {
    pub(crate) fn new(tokens: &[Secret]) -> Self {
        let key = |token: &Secret| Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.reveal());
        Self { keys: tokens.iter().map(key).collect() }
    }

    /// Whether `signature` is that of a call to one of `urls` with these parameters.
    pub(crate) fn accepts(&self, urls: &[String], parameters: &[Parameter], signature: &[u8]) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        let mut sorted: Vec<&Parameter> = parameters.iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        urls.iter().any(|url| {
            let mut text = url.as_bytes().to_vec();
            for (name, value) in &sorted {
                text.extend_from_slice(name);
                text.extend_from_slice(value);
            }
            self.keys.iter().any(|key| verify(key, &text, &signature).is_ok())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::decode;

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const CALL: &[u8] =
        b"Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE";

    fn accepts(token: &str, url: &str, body: &[u8], signature: &str) -> bool {
        let verifier = Verifier::new(&[Secret::new("another"), Secret::new(token)]);
        verifier.accepts(&[url.to_owned()], &decode(body).expect("a form"), signature.as_bytes())
    }

    #[test]
    fn the_carriers_published_vectors_are_accepted() {
        assert!(accepts("12345", URL, CALL, "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
        // One parameter several times: each value counts once, in their order.
        let repeated = b"Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234";
        assert!(accepts("12345", URL, repeated, "IK+Dwps556ElfBT0I3Rgjkr1wJU="));
    }

    // printf '%s' 'https://chat.example/v1/sms/status/0aErrorCode30003MessageSidSM1MessageStatusundeliveredTo+4915112345678' |
    //   openssl dgst -sha1 -hmac s3cret-token -binary | base64
    const STATUS: &str = "ZlFnMk8gZTmpRNu3pbOsuHhanOY=";

    #[test]
    fn a_vector_of_another_tool_is_accepted_and_nothing_near_it() {
        let url = "https://chat.example/v1/sms/status/0a";
        let body: &[u8] = b"MessageSid=SM1&MessageStatus=undelivered&To=%2B4915112345678&ErrorCode=30003";
        assert!(accepts("s3cret-token", url, body, STATUS));
        let other = b"MessageSid=SM1&MessageStatus=delivered&To=%2B4915112345678&ErrorCode=30003";
        assert!(!accepts("s3cret-token", url, other, STATUS));
        assert!(!accepts("s3cret-token", "https://chat.example/v1/sms/status/0b", body, STATUS));
        assert!(!accepts("s3cret-tokem", url, body, STATUS));
        let longer = [body, b"&More=1"].concat();
        assert!(!accepts("s3cret-token", url, &longer, STATUS));
        for bad in ["", "=", "not base64!", "AAAA", &STATUS[..STATUS.len() - 4]] {
            assert!(!accepts("s3cret-token", url, body, bad), "{bad}");
        }
    }
}
