//! Pictures and files: what may be uploaded, and how much of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lynk_blob::{Encryption, check_endpoint, is_prefix};
use lynk_compute::MediaType;
use lynk_media::{MediaOptions, ScanOptions};
use lynk_model::media::Quota;

use super::value::MediaIn;
use super::{Problem, Problems};

/// Directory of files in the data directory.
const DIRECTORY: &str = "blobs";

/// Pictures and files. Texts and lists are empty where nothing is set.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct MediaConfig {
    pub(crate) enabled: bool,
    pub(crate) directory: String,
    pub(crate) store: MediaIn,
    pub(crate) staging_bytes_max: u64,
    pub(crate) s3: S3Config,
    pub(crate) types: Vec<String>,
    pub(crate) image_bytes_max: u64,
    pub(crate) video_bytes_max: u64,
    pub(crate) file_bytes_max: u64,
    pub(crate) avatar_bytes_max: u64,
    pub(crate) quota_bytes: u64,
    pub(crate) uploads_per_day: u32,
    pub(crate) open_max: u32,
    pub(crate) uploads_max: u32,
    pub(crate) downloads_max: u32,
    pub(crate) uploads_per_account_max: u32,
    pub(crate) downloads_per_account_max: u32,
    pub(crate) idle_millis: u64,
    pub(crate) rate_min: u64,
    pub(crate) unfinished_millis: u64,
    pub(crate) unused_millis: u64,
    pub(crate) sweep_millis: u64,
    pub(crate) scan_command: Vec<String>,
    pub(crate) scan_millis: u64,
}

/// The bucket of files. Texts are empty where nothing is set.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct S3Config {
    pub(crate) endpoint: String,
    pub(crate) public_endpoint: String,
    pub(crate) region: String,
    pub(crate) bucket: String,
    pub(crate) path_style: bool,
    pub(crate) prefix: String,
    pub(crate) access_key: String,
    pub(crate) encryption: String,
    pub(crate) ca_file: String,
    pub(crate) timeout_millis: u64,
    pub(crate) presigned_millis: u64,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            public_endpoint: String::new(),
            region: "us-east-1".to_owned(),
            bucket: String::new(),
            path_style: false,
            prefix: String::new(),
            access_key: String::new(),
            encryption: "bucket".to_owned(),
            ca_file: String::new(),
            timeout_millis: 30_000,
            presigned_millis: 0,
        }
    }
}

impl S3Config {
    fn check(&self, problems: &mut Problems) {
        for (text, key, what) in [
            (
                &self.endpoint,
                "s3.endpoint",
                "the service's URL such as \"https://s3.eu-central-1.amazonaws.com\"",
            ),
            (&self.bucket, "s3.bucket", "the bucket's name"),
            (
                &self.access_key,
                "s3.access_key",
                "the id of the access key, whose secret is in `credentials.dir`",
            ),
        ] {
            if text.is_empty() {
                problems.push(Problem::new(key, format!("is needed with media.store `s3`: {what}")));
            }
        }
        for (text, key) in [(&self.endpoint, "s3.endpoint"), (&self.public_endpoint, "s3.public_endpoint")] {
            if let (false, Err(why)) = (text.is_empty(), check_endpoint(text)) {
                problems.push(Problem::new(key, format!("{why}, not {text:?}")));
            }
        }
        if Encryption::parse(&self.encryption).is_none() {
            let what = format!("must be bucket, aes256, or kms:<id of a key>, not {:?}", self.encryption);
            problems.push(Problem::new("s3.encryption", what));
        }
        if (1..1_000).contains(&self.presigned_millis) {
            let what = format!("must be 0 or at least 1s, not {}ms", self.presigned_millis);
            problems.push(Problem::new("s3.presigned_reads", what));
        }
        if !self.public_endpoint.is_empty() && self.presigned_millis == 0 {
            let what =
                "is where readers are sent on to, and s3.presigned_reads sends nobody: set both, or none";
            problems.push(Problem::new("s3.public_endpoint", what));
        }
        if !is_prefix(&self.prefix) {
            problems.push(Problem::new(
                "s3.prefix",
                format!(
                    "must be empty or end with a slash, and be of letters, digits, `-`, `_`, `.` and `/`, not {:?}",
                    self.prefix
                ),
            ));
        }
    }
}

impl Default for MediaConfig {
    fn default() -> Self {
        const HOUR: u64 = 60 * 60 * 1_000;
        Self {
            enabled: true,
            directory: String::new(),
            store: MediaIn::Directory,
            staging_bytes_max: 16 << 30,
            s3: S3Config::default(),
            types: Vec::new(),
            image_bytes_max: 32 << 20,
            video_bytes_max: 512 << 20,
            file_bytes_max: 128 << 20,
            avatar_bytes_max: 8 << 20,
            quota_bytes: 5 << 30,
            uploads_per_day: 500,
            open_max: 16,
            uploads_max: 64,
            downloads_max: 256,
            uploads_per_account_max: 4,
            downloads_per_account_max: 8,
            idle_millis: 30_000,
            rate_min: 1_024,
            unfinished_millis: 6 * HOUR,
            unused_millis: 24 * HOUR,
            sweep_millis: 60_000,
            scan_command: Vec::new(),
            scan_millis: 60_000,
        }
    }
}

impl MediaConfig {
    /// Types that are no types, and what else does not add up.
    pub(super) fn check(&self, problems: &mut Problems) {
        for name in &self.types {
            if MediaType::parse(name).is_none() {
                let known: Vec<_> = MediaType::ALL.iter().map(|kind| kind.as_str()).collect();
                let what = format!("{name:?} is none of {}", known.join(", "));
                problems.push(Problem::new("media.types", what));
            }
        }
        if self.enabled && self.is_in_bucket() {
            self.s3.check(problems);
            let limits = [
                (self.image_bytes_max, "image"),
                (self.video_bytes_max, "video"),
                (self.file_bytes_max, "file"),
                (self.avatar_bytes_max, "avatar"),
            ];
            if let Some((limit, name)) = limits.into_iter().max()
                && limit > self.staging_bytes_max
            {
                let what = format!(
                    "must be at least media.{name}_bytes_max, which is {limit}: a file of that size would be answered storage_full for ever"
                );
                problems.push(Problem::new("media.staging_bytes_max", what));
            }
        }
    }

    /// Whether files go into a bucket.
    pub(crate) fn is_in_bucket(&self) -> bool {
        self.store == MediaIn::S3
    }

    /// Where files are.
    pub(crate) fn directory(&self, data: &Path) -> PathBuf {
        if self.directory.is_empty() { data.join(DIRECTORY) } else { PathBuf::from(&self.directory) }
    }

    /// As the bridge takes it.
    pub(crate) fn options(&self, data: &Path) -> MediaOptions {
        let listed = self.types.iter().filter_map(|name| MediaType::parse(name));
        let types = if self.types.is_empty() { MediaType::ALL.to_vec() } else { listed.collect() };
        let scan = (!self.scan_command.is_empty()).then(|| ScanOptions {
            command: self.scan_command.clone(),
            timeout: Duration::from_millis(self.scan_millis),
        });
        MediaOptions {
            directory: self.directory(data),
            types,
            image_bytes_max: self.image_bytes_max,
            video_bytes_max: self.video_bytes_max,
            file_bytes_max: self.file_bytes_max,
            avatar_bytes_max: self.avatar_bytes_max,
            quota: Quota {
                bytes: self.quota_bytes,
                uploads: self.uploads_per_day.into(),
                open: self.open_max.into(),
            },
            uploads_max: self.uploads_max,
            downloads_max: self.downloads_max,
            uploads_per_account_max: self.uploads_per_account_max,
            downloads_per_account_max: self.downloads_per_account_max,
            idle: Duration::from_millis(self.idle_millis),
            rate_min: self.rate_min,
            unfinished_millis: self.unfinished_millis,
            unused_millis: self.unused_millis,
            sweep: Duration::from_millis(self.sweep_millis),
            staging_bytes_max: self.staging_bytes_max,
            presigned: Some(self.s3.presigned_millis)
                .filter(|millis| self.is_in_bucket() && *millis > 0)
                .map(Duration::from_millis),
            scan,
        }
    }
}
