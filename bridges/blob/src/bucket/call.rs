//! Requests to the service: signed, sent, and what it says when it does not do them.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::RANGE;
use hyper::{Request, Response};
use lynk_https::{Base, Client, Failure, Keeping, Lease, trust};
use rusty_s3::actions::S3Action;
use rusty_s3::{Credentials, Method, UrlStyle};
use tokio::time::{Instant, timeout_at};

use super::counts::{BucketCounts, Way};
use super::{BucketError, BucketOptions, Encryption};

/// How long a signature is good, which covers clocks that differ a little.
pub const SIGNED_SECONDS: u64 = 300;
/// Bytes of an answer that is read whole.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Times that a request is offered to connections which had ended.
const OFFERS_MAX: u32 = 4;
const KEEPING: Keeping = Keeping { idle_max: 32, idle_time: Duration::from_secs(15) };

/// One bucket, and how it is asked.
pub(super) struct Service {
    client: Client<Full<Bytes>>,
    pub(super) bucket: rusty_s3::Bucket,
    /// The same at the host by which readers reach it.
    pub(super) public: rusty_s3::Bucket,
    pub(super) credentials: Credentials,
    pub(super) prefix: String,
    pub(super) encryption: Encryption,
    pub(super) timeout: Duration,
    pub(super) counts: BucketCounts,
}

/// The next piece of an answer; `None` at its end.
pub(super) async fn piece(body: &mut Incoming, until: Instant) -> Result<Option<Bytes>, BucketError> {
    loop {
        match timeout_at(until, poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx))).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                _ => {}
            },
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) | Err(_) => return Err(BucketError::Away("its answer was cut off".to_owned())),
        }
    }
}

/// Whether a service can be at this URL.
///
/// # Errors
/// What is wrong with it, to be read after its name.
pub fn check_endpoint(endpoint: &str) -> Result<(), &'static str> {
    if Base::parse(endpoint)?.is_root() { Ok(()) } else { Err("must end with its host or port") }
}

/// The bucket at an endpoint.
fn located(options: &BucketOptions, endpoint: &str) -> Result<rusty_s3::Bucket, String> {
    check_endpoint(endpoint)?;
    let style = if options.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
    let url = endpoint.parse().map_err(|_| "is no URL".to_owned())?;
    rusty_s3::Bucket::new(url, style, options.bucket.clone(), options.region.clone())
        .map_err(|error| format!("makes no URL with the bucket: {error}"))
}

impl Service {
    /// Checks everything that can be checked without asking it.
    pub(super) fn new(options: BucketOptions) -> Result<Self, String> {
        let bucket = located(&options, &options.endpoint).map_err(|why| format!("the endpoint {why}"))?;
        let public = match options.public_endpoint.as_str() {
            "" => bucket.clone(),
            public => located(&options, public).map_err(|why| format!("the public endpoint {why}"))?,
        };
        let origin = bucket.base_url().origin().ascii_serialization();
        let base = Base::parse(&origin).map_err(|why| format!("the endpoint {why}"))?;
        let client = Client::new(base, trust(&options.roots)?, KEEPING);
        let secret = options.secret_key.reveal_text().ok_or("the secret of the access key is no text")?;
        Ok(Self {
            client: client.ok_or("the endpoint has a host that no certificate can name")?,
            bucket,
            public,
            credentials: Credentials::new(options.access_key, secret),
            prefix: options.prefix,
            encryption: options.encryption,
            timeout: options.timeout,
            counts: BucketCounts::default(),
        })
    }

    /// Sends a signed request and returns the head of a good answer.
    pub(super) async fn send<'a, A: S3Action<'a>>(
        &self,
        action: A,
        headers: Vec<(&'static str, String)>,
        range: Option<String>,
        body: Bytes,
    ) -> Result<(Response<Incoming>, Lease<Full<Bytes>>), BucketError> {
        let call = self.counts.begin()?;
        let sent = body.len();
        let answered = self.offer(action, headers, range, body).await;
        call.end(&answered);
        if answered.is_ok() {
            self.counts.moved(Way::Out, sent);
        }
        answered
    }

    async fn offer<'a, A: S3Action<'a>>(
        &self,
        mut action: A,
        headers: Vec<(&'static str, String)>,
        range: Option<String>,
        body: Bytes,
    ) -> Result<(Response<Incoming>, Lease<Full<Bytes>>), BucketError> {
        for (name, value) in &headers {
            action.headers_mut().insert(*name, value.clone());
        }
        let method = match A::METHOD {
            Method::Head => hyper::Method::HEAD,
            Method::Get => hyper::Method::GET,
            Method::Post => hyper::Method::POST,
            Method::Put => hyper::Method::PUT,
            Method::Delete => hyper::Method::DELETE,
        };
        let until = Instant::now() + self.timeout;
        for _ in 0..OFFERS_MAX {
            let url = action.sign(Duration::from_secs(SIGNED_SECONDS));
            let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
            let mut request = Request::builder().method(method.clone()).uri(path);
            for (name, value) in &headers {
                request = request.header(*name, value);
            }
            if let Some(range) = &range {
                request = request.header(RANGE, range);
            }
            let request = request.body(Full::new(body.clone()));
            let request = request.map_err(|_| BucketError::Refused("a name is none of HTTP".to_owned()))?;
            match self.client.send(request, until).await {
                Ok((response, lease)) if response.status().is_success() => return Ok((response, lease)),
                Ok((response, _)) => return Err(refusal(response, until).await),
                Err(Failure::Stale) => {}
                Err(Failure::Tls) => {
                    let why = "its certificate is not one that is trusted";
                    return Err(BucketError::Refused(why.to_owned()));
                }
                Err(Failure::Unreachable) => break,
                Err(Failure::Unanswered) => return Err(BucketError::Away("it does not answer".to_owned())),
            }
        }
        Err(BucketError::Away("it cannot be reached".to_owned()))
    }

    /// Sends a request of which the answer says nothing that is wanted, or something short.
    pub(super) async fn ask<'a, A: S3Action<'a>>(
        &self,
        action: A,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
        bytes_max: usize,
    ) -> Result<(Response<()>, String), BucketError> {
        let (response, lease) = self.send(action, headers, None, body).await?;
        let (head, mut body) = response.into_parts();
        let until = Instant::now() + self.timeout;
        let mut text = Vec::new();
        while let Some(data) =
            piece(&mut body, until).await.inspect_err(|error| self.counts.cut_off(error))?
        {
            if text.len() + data.len() > bytes_max {
                return Err(BucketError::Refused("its answer is too long".to_owned()));
            }
            text.extend_from_slice(&data);
        }
        lease.keep();
        Ok((Response::from_parts(head, ()), String::from_utf8_lossy(&text).into_owned()))
    }
}

/// What the service says in place of what was asked for.
async fn refusal(response: Response<Incoming>, until: Instant) -> BucketError {
    let status = response.status();
    let mut text = Vec::new();
    let mut body = response.into_body();
    while let Ok(Some(data)) = piece(&mut body, until).await {
        if text.len() + data.len() > ANSWER_BYTES_MAX {
            break;
        }
        text.extend_from_slice(&data);
    }
    said(status.as_u16(), &String::from_utf8_lossy(&text))
}

/// Whose fault it is. Of the text only its code is told, which names nobody's data.
fn said(status: u16, text: &str) -> BucketError {
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let is_code = |code: &&str| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let code = code.map(|(code, _)| code).filter(is_code);
    let told = code.map_or_else(|| format!("status {status}"), str::to_owned);
    match (status, code.unwrap_or_default()) {
        (404, "NoSuchBucket") => BucketError::Refused(told),
        (404 | 416, _) => BucketError::Missing,
        (412, _) => BucketError::Exists,
        // We were too slow, or something else is at it: the next try may be better.
        (400, "RequestTimeout" | "IncompleteBody") | (408 | 409 | 429, _) => BucketError::Away(told),
        (300..=499 | 501, _) => BucketError::Refused(told),
        _ => BucketError::Away(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_it_is_follows_from_status_and_code() {
        let xml =
            |code: &str| format!("<Error><Code>{code}</Code><Message>of a secret key</Message></Error>");
        let told = |status, code: &str| said(status, &xml(code));
        assert_eq!(told(404, "NoSuchKey"), BucketError::Missing);
        assert_eq!(told(404, "NoSuchBucket"), BucketError::Refused("NoSuchBucket".to_owned()));
        assert_eq!(told(301, "PermanentRedirect"), BucketError::Refused("PermanentRedirect".to_owned()));
        assert_eq!(told(403, "AccessDenied"), BucketError::Refused("AccessDenied".to_owned()));
        assert_eq!(told(400, "RequestTimeout"), BucketError::Away("RequestTimeout".to_owned()));
        assert_eq!(told(412, "PreconditionFailed"), BucketError::Exists);
        assert_eq!(told(501, "NotImplemented"), BucketError::Refused("NotImplemented".to_owned()));
        assert_eq!(told(503, "SlowDown"), BucketError::Away("SlowDown".to_owned()));
        assert_eq!(said(403, "<Code>a b</Code>"), BucketError::Refused("status 403".to_owned()));
        assert_eq!(said(500, ""), BucketError::Away("status 500".to_owned()));
    }
}
