//! Where a bucket is, who we are there, and what it says when it does not do something.

use std::fmt;
use std::time::Duration;

use lynk_bridge::Secret;
use lynk_https::Roots;

/// How the service encrypts what it keeps.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Encryption {
    /// As the bucket says.
    #[default]
    Bucket,
    /// With keys of the service (`AES256`).
    Aes256,
    /// With a key of its key management (`aws:kms`), by its id.
    Kms(String),
}

impl Encryption {
    /// Reads `bucket`, `aes256` or `kms:<id>`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "bucket" => Some(Self::Bucket),
            "aes256" => Some(Self::Aes256),
            other => {
                let id = other.strip_prefix("kms:")?;
                let is_id = (1..=2_048).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
                is_id.then(|| Self::Kms(id.to_owned()))
            }
        }
    }

    /// What a request that makes an object says of it.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        const HOW: &str = "x-amz-server-side-encryption";
        match self {
            Self::Bucket => Vec::new(),
            Self::Aes256 => vec![(HOW, "AES256".to_owned())],
            Self::Kms(key) => {
                vec![
                    (HOW, "aws:kms".to_owned()),
                    ("x-amz-server-side-encryption-aws-kms-key-id", key.clone()),
                ]
            }
        }
    }
}

/// Where a bucket is, and who we are there.
#[derive(Clone)]
pub struct BucketOptions {
    /// `https://s3.eu-central-1.amazonaws.com`; plain HTTP is for this machine only.
    pub endpoint: String,
    /// The same as readers reach it, for [`Bucket::presign`](super::Bucket::presign); empty where that is no other.
    pub public_endpoint: String,
    /// Its region.
    pub region: String,
    /// Its name.
    pub bucket: String,
    /// Whether the name is in the path of a URL, and not in its host.
    pub path_style: bool,
    /// What names of objects begin with: empty, or with a slash at its end.
    pub prefix: String,
    /// How the service encrypts.
    pub encryption: Encryption,
    /// Id of the access key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: Secret,
    /// Whom we trust to be the service.
    pub roots: Roots,
    /// Time for one request.
    pub timeout: Duration,
}

impl fmt::Debug for BucketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketOptions")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Whether what names of objects begin with is of characters that need no escape anywhere.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    let path = text.is_empty() || text.ends_with('/');
    let parts = text.trim_end_matches('/').split('/');
    let named =
        text.is_empty() || parts.into_iter().all(|part| !part.is_empty() && part != "." && part != "..");
    text.len() <= 256 && path && named && text.bytes().all(plain)
}

/// Why the service did not do it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// There is no such object.
    #[error("there is no such blob")]
    Missing,
    /// It cannot be reached, is too busy, or does not answer.
    #[error("the bucket is away: {0}")]
    Away(String),
    /// It does not let us: a wrong key, no right, no such bucket.
    #[error("the bucket refuses: {0}")]
    Refused(String),
    /// It has such an object, and should have had none.
    #[error("the bucket has such an object")]
    Exists,
    /// Another server keeps blobs there, as this object says.
    #[error(
        "another server keeps files there, as its object {0} says: give each server a prefix of its own (s3.prefix), or remove that object when the other server is gone"
    )]
    Shared(String),
    /// The file that is to be put cannot be read, or the note of an upload not written.
    #[error("the disk refuses: {0}")]
    Disk(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_and_prefixes_are_read_as_they_are_written() {
        assert_eq!(Encryption::parse("bucket"), Some(Encryption::Bucket));
        assert_eq!(Encryption::parse("aes256"), Some(Encryption::Aes256));
        let key = Encryption::parse("kms:arn:aws:kms:eu:1:key/a").expect("an id");
        assert_eq!(key, Encryption::Kms("arn:aws:kms:eu:1:key/a".to_owned()));
        assert_eq!(key.headers()[0].1, "aws:kms");
        for bad in ["", "kms:", "kms:a b", "AES256", "none"] {
            assert_eq!(Encryption::parse(bad), None, "{bad}");
        }
        for good in ["", "lynk/", "a/b-c/d_e.f/"] {
            assert!(is_prefix(good), "{good}");
        }
        for bad in ["lynk", "/", "/lynk/", "a//b/", "../", "a b/", "ä/"] {
            assert!(!is_prefix(bad), "{bad}");
        }
    }
}
