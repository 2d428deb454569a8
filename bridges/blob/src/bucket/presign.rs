//! URLs of the service by which whoever has one reads one blob, for a while: its bytes do not go through this process then.
//!
//! Thread: any; nothing is asked, the clock is read. Invariants: such a URL is for `GET` of one object, and what the answer says of itself is signed
//! with it: whoever changes anything of it is refused. It is a secret of its reader, and is never logged. The id of the access key stands in it, which
//! is none; its secret does not. Nothing can fail: who has no right there makes URLs that the service refuses.

use std::time::Duration;

use lynk_domain::MediaId;
use rusty_s3::actions::{GetObject, S3Action as _};
use rusty_s3::{Bucket as Place, Credentials};

use super::Bucket;

/// What the service's answer is to say of a blob, whatever it knows of it. Values of headers.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// `Content-Type`.
    pub kind: &'a str,
    /// `Content-Disposition`.
    pub disposition: &'a str,
    /// `Cache-Control`.
    pub cached: &'a str,
}

impl<'a> Told<'a> {
    fn query(&self) -> [(&'static str, &'a str); 3] {
        [
            ("response-cache-control", self.cached),
            ("response-content-disposition", self.disposition),
            ("response-content-type", self.kind),
        ]
    }
}

/// The request for an object, whose answer shall say so.
fn reading<'a>(
    place: &'a Place,
    credentials: &'a Credentials,
    key: &'a str,
    query: &[(&'static str, &'a str)],
) -> GetObject<'a> {
    let mut action = place.get_object(Some(credentials), key);
    for (name, value) in query {
        action.query_mut().insert(*name, *value);
    }
    action
}

impl Bucket {
    /// A URL by which whoever has it reads a blob, or parts of it, until `good` is over, at the host for readers. Seconds count, of which there must be
    /// 1 at least; a read that was begun by then may go on.
    #[must_use]
    pub fn presign(&self, id: MediaId, variant: u8, told: &Told<'_>, good: Duration) -> String {
        let key = self.key(id, variant);
        let good = Duration::from_secs(good.as_secs().max(1));
        let action = reading(&self.service.public, &self.service.credentials, &key, &told.query());
        action.sign(good).into()
    }

    /// Scheme, host and port of what [`Self::presign`] makes.
    #[must_use]
    pub fn public_origin(&self) -> String {
        self.service.public.base_url().origin().ascii_serialization()
    }
}

#[cfg(test)]
mod tests {
    use rusty_s3::UrlStyle;

    use super::*;

    /// The example of "Authenticating Requests: Using Query Parameters" in the reference of Amazon's S3.
    #[test]
    fn a_url_is_signed_as_amazon_says() {
        let endpoint = "https://s3.amazonaws.com".parse().expect("a URL");
        let place =
            Place::new(endpoint, UrlStyle::VirtualHost, "examplebucket", "us-east-1").expect("a bucket");
        let credentials =
            Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let signed = |query: &[(&'static str, &'static str)]| {
            let action = reading(&place, &credentials, "test.txt", query);
            let at = "2013-05-24T00:00:00Z".parse().expect("a time");
            String::from(action.sign_with_time(Duration::from_secs(86_400), &at))
        };
        let url = signed(&[]);
        let known = "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
                     &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
                     &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
                     &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert_eq!(url, known);
        // What the answer shall say is signed, too.
        let told = Told { kind: "text/plain; charset=utf-8", disposition: "attachment", cached: "private" };
        let full = signed(&told.query());
        let after = "&X-Amz-SignedHeaders=host&response-cache-control=private&response-content-disposition=attachment\
                     &response-content-type=text%2Fplain%3B%20charset%3Dutf-8&X-Amz-Signature=";
        assert!(full.contains(after), "{full}");
        let signature = |url: &str| url.rsplit_once('=').map(|(_, signature)| signature.to_owned());
        assert_ne!(signature(&full), signature(&url));
        let other = Told { disposition: "inline", ..told };
        assert_ne!(signature(&full), signature(&signed(&other.query())));
    }
}
