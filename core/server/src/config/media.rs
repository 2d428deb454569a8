//! Pictures and files: what may be uploaded, and how much of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lynk_compute::MediaType;
use lynk_media::{MediaOptions, ScanOptions};
use lynk_model::media::Quota;

use super::{Problem, Problems};

/// Directory of files in the data directory.
const DIRECTORY: &str = "blobs";

/// Pictures and files. Texts and lists are empty where nothing is set.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct MediaConfig {
    pub(crate) enabled: bool,
    pub(crate) directory: String,
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

impl Default for MediaConfig {
    fn default() -> Self {
        const HOUR: u64 = 60 * 60 * 1_000;
        Self {
            enabled: true,
            directory: String::new(),
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
            scan,
        }
    }
}
