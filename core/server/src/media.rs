//! Pictures and files: from a data directory and a configuration to a running bridge.
//!
//! Thread: boot. What can fail: the store, the disk; every failure names its cure.

use lynk_api::system_clock;
use lynk_blob::BlobError;
use lynk_compute::ImagesOptions;
use lynk_embedded::MediaTable;
use lynk_media::{MediaBridge, MediaParts};
use lynk_model::port::{LastFault, MediaStore};
use tokio::runtime::Runtime;

use crate::cli::DECODE_IMAGE;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::exit::Failure;

/// The embedded store.
///
/// # Errors
/// Damage, or the disk.
pub(crate) fn embedded(dir: &DataDir) -> Result<MediaTable, Failure> {
    MediaTable::open(dir.root()).map_err(|error| Failure::dependency(error.to_string()))
}

/// Starts the bridge; where files are not wanted there is none.
///
/// # Errors
/// The directory of files cannot be used, or no thread.
pub(crate) fn start<S>(
    config: &Config,
    dir: &DataDir,
    opened: Option<(S, Runtime)>,
) -> Result<Option<MediaBridge>, Failure>
where
    S: MediaStore + LastFault + Send + 'static,
{
    let Some((store, runtime)) = opened else { return Ok(None) };
    let options = config.media.options(dir.root());
    let place = options.directory.display().to_string();
    let images = ImagesOptions::this_program([DECODE_IMAGE.into()]);
    let parts = MediaParts { store, runtime, options, images, clock: system_clock() };
    MediaBridge::start(parts).map(Some).map_err(|error| {
        let cure = match error {
            BlobError::Full => "free some space, or set `media.directory`",
            _ => "make it a directory that the server may write, set `media.directory`, or media.enabled = false",
        };
        Failure::dependency(format!("files cannot be kept in {place}: {error}")).cure(cure)
    })
}
