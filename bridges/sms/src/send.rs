//! A message from its code to the carrier's word, once.
//!
//! **What is repeated.** The carrier knows no idempotency key: who posts a message twice sends it twice. So it is offered again only
//! when it is certain that it was not taken, which is one of three things: no connection was made; a kept connection had ended before
//! a byte of the request was written; the carrier answered 429, which is its refusal to look at it. Everything that may have left
//! this program and has no answer that says otherwise — a time-out, a connection that broke, any 5xx — is unknown, and stays so: the
//! code is left good, because its reader may have it, and whoever has not asks for another, which ends this one.
//!
//! Limits: [`REPEATS_MAX`], and the deadline over all of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lynk_auth::{Sending, Sms, SmsCall, SmsCallError, SmsError, SmsReport, SmsSender};
use lynk_bridge::Turned;
use lynk_https::{Base, Failure, trust};
use tokio::time::Instant;

use crate::answer::{Judged, Verdict};
use crate::client::Client;
use crate::counts::{Repeat, SmsCounts};
use crate::form::{decode, encode};
use crate::options::{check, sender};
use crate::signature::Verifier;
use crate::track::{Reference, Tracked, reference_text, status_of};
use crate::{Cause, Options, STATUS_PATH, SetupError};

/// Times that one message is offered again.
pub const REPEATS_MAX: u32 = 3;
/// Pause before the first repeat at most; each further one doubles it.
const PAUSE: Duration = Duration::from_millis(400);
/// Longest time that the carrier keeps a message, in seconds.
const VALIDITY_MAX: u64 = 14_400;

/// How the carrier's reports are taken.
struct Listening {
    base: Base,
    verifier: Verifier,
    tracked: Tracked,
}

/// Sends codes through Twilio.
pub struct Twilio {
    client: Client,
    /// The parameter that names the sender, and its value.
    sender: (&'static str, String),
    listening: Option<Listening>,
    timeout: Duration,
    counts: Arc<SmsCounts>,
}

impl fmt::Debug for Twilio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Twilio").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Twilio {
    /// Checks everything that can be checked without asking the carrier.
    ///
    /// # Errors
    /// What cannot be right.
    pub fn new(options: Options) -> Result<Self, SetupError> {
        let Options { api_url, credentials, sender: from, roots, reports, timeout } = options;
        const API: &str = "the URL of Twilio's API";
        let base = Base::parse(&api_url).map_err(|why| SetupError::Url(API, why))?;
        if !base.is_root() {
            return Err(SetupError::Url(API, "must have no path"));
        }
        let authorization = credentials.header()?;
        let path = format!("/2010-04-01/Accounts/{}/Messages.json", credentials.account);
        let counts = Arc::<SmsCounts>::default();
        let client = Client::new(
            base,
            path,
            authorization,
            trust(&roots).map_err(SetupError::Roots)?,
            Arc::clone(&counts),
        )
        .ok_or(SetupError::Url(API, "has a host that no certificate can name"))?;
        let listening = match reports {
            None => None,
            Some(reports) => {
                let base = Base::parse(&reports.public_url)
                    .map_err(|why| SetupError::Url("the public URL of this server", why))?;
                if reports.tokens.is_empty() || reports.tokens.len() > 2 {
                    return Err(SetupError::Name("the account's token"));
                }
                reports.tokens.iter().try_for_each(|token| check(token, "the account's token"))?;
                Some(Listening {
                    base,
                    verifier: Verifier::new(&reports.tokens),
                    tracked: Tracked::default(),
                })
            }
        };
        Ok(Self { client, sender: (sender(&from)?, from), listening, timeout, counts })
    }

    /// What is counted, and how the carrier is.
    #[must_use]
    pub fn counts(&self) -> &Arc<SmsCounts> {
        &self.counts
    }

    /// The request's body.
    fn form(&self, sms: &Sms, reference: Option<Reference>) -> String {
        let text = sms.text();
        // A code that is over is not worth sending.
        let validity = (sms.life_millis / 1_000).clamp(1, VALIDITY_MAX).to_string();
        let callback = self.listening.as_ref().zip(reference).map(|(listening, reference)| {
            listening.base.url(&format!("{STATUS_PATH}{}", reference_text(reference)))
        });
        let (parameter, sender) = &self.sender;
        let mut parameters = vec![
            ("To", sms.to.as_e164()),
            (*parameter, sender.as_str()),
            ("Body", text.as_str()),
            ("ValidityPeriod", validity.as_str()),
        ];
        if let Some(callback) = &callback {
            parameters.push(("StatusCallback", callback));
        }
        encode(&parameters)
    }

    /// Offers a message until there is a verdict.
    async fn offer(&self, form: &str) -> Judged {
        let deadline = Instant::now() + self.timeout;
        let mut repeats = 0;
        loop {
            let (why, pause, otherwise) = match self.client.post(form, deadline).await {
                Ok(answer) => match answer.judge() {
                    Judged { verdict: Verdict::Later(after), code } => (
                        Repeat::Throttled,
                        backoff(repeats).max(after.unwrap_or_default()),
                        not_taken(Cause::Throttled, code),
                    ),
                    judged => return judged,
                },
                Err(Failure::Tls) => return not_taken(Cause::Tls, None),
                Err(Failure::Unanswered) => {
                    return Judged { verdict: Verdict::Unknown(Cause::Unanswered), code: None };
                }
                Err(Failure::Stale) => (Repeat::Stale, Duration::ZERO, not_taken(Cause::Unreachable, None)),
                Err(Failure::Unreachable) => {
                    (Repeat::Unreachable, backoff(repeats), not_taken(Cause::Unreachable, None))
                }
            };
            if repeats == REPEATS_MAX || deadline.saturating_duration_since(Instant::now()) <= pause {
                return otherwise;
            }
            repeats += 1;
            self.counts.repeated(why);
            tokio::time::sleep(pause).await;
        }
    }

    /// Counts a verdict and makes it the caller's.
    fn settle(&self, judged: Judged) -> Result<(), SmsError> {
        let (error, cause) = match judged.verdict {
            Verdict::Taken => {
                self.works();
                return Ok(());
            }
            Verdict::NotTaken(cause) => (cause.ends(), cause),
            Verdict::Later(_) => (SmsError::Unavailable, Cause::Throttled),
            Verdict::Unknown(cause) => (SmsError::Unknown, cause),
        };
        self.counts.failed(cause);
        if error == SmsError::Refused {
            // It looked at the message: it is there.
            self.works();
        } else {
            let detail = match judged.code {
                Some(code) => format!("Twilio's error {code}"),
                None => "no word of Twilio".to_owned(),
            };
            if self.counts.health.fail(cause.name(), &detail) == Turned::Bad {
                let (cause, twilio_error) = (cause.name(), judged.code);
                tracing::error!(
                    event = "sms_carrier_failed",
                    cause,
                    twilio_error,
                    "the carrier takes no messages"
                );
            }
        }
        Err(error)
    }

    fn works(&self) {
        if let Turned::Good(after) = self.counts.health.succeed() {
            tracing::info!(event = "sms_carrier_works", ?after, "the carrier takes messages again");
        }
    }

    async fn send_one(&self, sms: &Sms) -> Result<(), SmsError> {
        let mut reference = None;
        if let Some(listening) = &self.listening {
            let mut random = [0; 16];
            getrandom::fill(&mut random).map_err(|_| SmsError::Unavailable)?;
            self.counts.tracked(listening.tracked.add(Instant::now(), random, sms.request));
            reference = Some(random);
        }
        let started = Instant::now();
        let result = self.settle(self.offer(&self.form(sms, reference)).await);
        self.counts.sent(result, started.elapsed());
        result
    }
}

fn not_taken(cause: Cause, code: Option<u32>) -> Judged {
    Judged { verdict: Verdict::NotTaken(cause), code }
}

/// A pause that grows, of which a random half is taken away, so that those who failed together do not return together.
fn backoff(repeats: u32) -> Duration {
    let mut random = [0];
    // Without random numbers they do return together, and that is all.
    let _none = getrandom::fill(&mut random);
    let whole = PAUSE * 2_u32.pow(repeats.min(REPEATS_MAX));
    whole - whole / 2 * u32::from(random[0]) / 255
}

impl SmsSender for Twilio {
    fn send<'a>(&'a self, sms: &'a Sms) -> Sending<'a> {
        Box::pin(self.send_one(sms))
    }

    fn report(&self, call: &SmsCall<'_>) -> Result<SmsReport, SmsCallError> {
        let Some(listening) = &self.listening else { return Err(SmsCallError::NotServed) };
        // What cannot be read cannot have been signed.
        let parameters = decode(call.body).ok_or(SmsCallError::Signature)?;
        let signature = call.signature.ok_or(SmsCallError::Signature)?;
        // The URL is that of the configuration, not what the request says of itself: a proxy may have changed its host, and
        // whoever makes a call chooses it.
        if !listening.verifier.accepts(&listening.base.spellings(call.path), &parameters, signature) {
            return Err(SmsCallError::Signature);
        }
        let value =
            |name: &[u8]| parameters.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_slice());
        let status = status_of(value(b"MessageStatus").ok_or(SmsCallError::Malformed)?);
        let report = listening.tracked.tell(call.reference, status)?;
        self.counts.told(status);
        if matches!(report, SmsReport::Lost(_)) {
            let code = value(b"ErrorCode").and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
            self.counts.failed(code.map_or(Cause::Other, Cause::of_code));
            tracing::warn!(
                event = "sms_lost",
                twilio_error = code,
                "a message will not arrive; its code is cancelled"
            );
        }
        Ok(report)
    }
}
