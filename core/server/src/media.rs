//! Pictures and files: from a data directory and a configuration to a running bridge.
//!
//! Thread: boot. What can fail: the store, the disk; every failure names its cure.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use lynk_api::system_clock;
use lynk_blob::{BlobError, Bucket, BucketOptions, BucketThread, Encryption, Roots};
use lynk_bridge::Secret;
use lynk_compute::ImagesOptions;
use lynk_embedded::MediaTable;
use lynk_media::{Claimed, MediaBridge, MediaParts};
use lynk_model::port::{LastFault, MediaStore};
use lynk_telemetry::{Metric, Snapshot};
use tokio::runtime::Runtime;

use crate::cli::DECODE_IMAGE;
use crate::config::Config;
use crate::credentials::{check_secret, read};
use crate::data_dir::{DataDir, make_dir, refused, replace};
use crate::exit::{Exit, Failure};
use crate::health::Bridge;

/// File with the secret of the bucket's access key, in `credentials.dir`.
pub(crate) const SECRET: &str = "lynk_s3.password";
/// File of the data directory that says which bucket its files are in. It is there before the first of them.
const BUCKET: &str = "BUCKET";
/// Directory in that of files, in which uploads in parts are noted.
pub(crate) const PARTS: &str = "parts";

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
    let name = dir.installation()?;
    let (bucket, claimed) = match bucket(config, dir, &options.directory)? {
        Some((bucket, claimed)) => (Some(bucket), claimed),
        None => (None, Box::new(|| Ok(())) as Claimed),
    };
    let place = options.directory.display().to_string();
    let images = ImagesOptions::this_program([DECODE_IMAGE.into()]);
    let parts = MediaParts { store, runtime, options, bucket, name, claimed, images, clock: system_clock() };
    MediaBridge::start(parts).map(Some).map_err(|error| {
        let cure = match error {
            BlobError::Full => "free some space, or set `media.directory`",
            _ => "make it a directory that the server may write, set `media.directory`, or media.enabled = false",
        };
        Failure::dependency(format!("files cannot be kept in {place}: {error}")).cure(cure)
    })
}

/// Where the bucket is, and who we are there.
///
/// # Errors
/// A file that is missing, or a secret that others may read.
pub(crate) fn bucket_options(config: &Config) -> Result<BucketOptions, Failure> {
    let s3 = &config.media.s3;
    let path = config.outside.credentials_dir.join(SECRET);
    if !path.exists() {
        return Err(Failure::dependency(format!("{} does not exist", path.display())).cure(format!(
            "put the secret of the access key {} alone into it, and chmod 600 it",
            s3.access_key
        )));
    }
    check_secret(&path)?;
    let secret_key = Secret::from_file(&path).map_err(|error| Failure::dependency(error.to_string()))?;
    let roots = match s3.ca_file.as_str() {
        "" => Roots::System,
        file => Roots::Pem(read(Path::new(file))?),
    };
    Ok(BucketOptions {
        endpoint: s3.endpoint.clone(),
        public_endpoint: s3.public_endpoint.clone(),
        region: s3.region.clone(),
        bucket: s3.bucket.clone(),
        path_style: s3.path_style,
        prefix: s3.prefix.clone(),
        // It was checked with the configuration.
        encryption: Encryption::parse(&s3.encryption).unwrap_or_default(),
        access_key: s3.access_key.clone(),
        secret_key,
        roots,
        timeout: Duration::from_millis(s3.timeout_millis),
    })
}

/// A bucket with its thread, and what notes that files go there.
type Opened = ((Bucket, BucketThread), Claimed);

/// The bucket of files, where they go into one, and what notes that they do; refused when they are elsewhere already.
fn bucket(config: &Config, dir: &DataDir, directory: &Path) -> Result<Option<Opened>, Failure> {
    let marker = dir.root().join(BUCKET);
    let noted = match fs::read_to_string(&marker) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        other => Some(other.map_err(|error| refused(&marker, &error))?),
    };
    if !config.media.is_in_bucket() {
        return match noted {
            None => Ok(None),
            Some(place) => Err(Failure::new(
                Exit::Config,
                format!("the files of {} are in the bucket {}", dir.root().display(), place.trim()),
            )
            .cure(
                "set media.store = \"s3\" with that bucket: files do not come back from one by themselves",
            )),
        };
    }
    let options = bucket_options(config)?;
    make_dir(directory, 0o700)?;
    let (bucket, thread) = Bucket::start(options, &directory.join(PARTS)).map_err(|what| {
        Failure::new(Exit::Config, format!("[s3]: {what}")).cure(
            "compare it with what the service says of the bucket; `docs/media.md` tells what each key is",
        )
    })?;
    let place = format!("{}\n", bucket.place());
    match noted {
        Some(noted) if noted != place => {
            thread.join();
            let what = format!(
                "the files of {} are in the bucket {}, not in {}",
                dir.root().display(),
                noted.trim(),
                place.trim()
            );
            return Err(Failure::new(Exit::Config, what).cure(format!(
                "set [s3] to that bucket; when all objects were copied to the other one, remove {}",
                marker.display()
            )));
        }
        _ => {}
    }
    tracing::info!(event = "media_bucket", place = place.trim(), "files are kept in a bucket");
    // Not before the bucket was found to be this server's: a configuration that never worked binds nobody.
    let claimed = move || match noted {
        Some(_) => Ok(()),
        None => replace(&marker, place.as_bytes(), 0o640).map_err(|failure| failure.to_string()),
    };
    Ok(Some(((bucket, thread), Box::new(claimed))))
}

/// The bucket, as the admin listener shows it.
pub(crate) fn bridge(media: &MediaBridge) -> Option<Bridge> {
    let bucket = media.bucket()?.clone();
    let (health, staged) = (bucket.counts().health.clone(), media.staged());
    let add_to = Box::new(move |snapshot: &mut Snapshot| {
        bucket.counts().add_to(snapshot);
        snapshot.add(Metric::MediaStaged, staged());
    });
    Some(Bridge { name: "s3", health, add_to })
}

/// The bucket for somebody who only reads, and its thread, where files are in one.
///
/// # Errors
/// Those of [`bucket_options`]; the disk.
pub(crate) fn bucket_beside(config: &Config, root: &Path) -> Result<Option<(Bucket, BucketThread)>, Failure> {
    if !config.media.enabled || !config.media.is_in_bucket() {
        return Ok(None);
    }
    let directory = config.media.directory(root);
    make_dir(&directory, 0o700)?;
    let opened = Bucket::start(bucket_options(config)?, &directory.join(PARTS));
    opened.map(Some).map_err(|what| Failure::new(Exit::Config, format!("[s3]: {what}")))
}
