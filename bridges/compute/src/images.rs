//! Uploads, prepared for others: their type is looked up, descriptions are taken out, small pictures are made.
//!
//! What decodes pixels runs in a process of its own, for each picture anew: a thread cannot be ended, and a decoder may take hours or all
//! memory for a file that was made for it. The process has limits of time, memory and files ([`child`]), reads one file, writes to
//! one pipe, and is killed at its deadline.
//!
//! Thread: [`Images::prepare`] waits on any runtime; `images-N` does the work. Invariants: at most as many processes as threads; each is
//! waited for. Limits: [`ImagesOptions`]; 16 uploads wait, the next is [`Refused::Busy`]. What can fail: see [`Refused`].

mod child;
mod parent;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::counts::{ImageCounts, ImageOutcome};
use crate::{
    Compute, ComputeError, ComputeThreads, MediaType, SNIFF_BYTES, StripError, is_small_enough, sniff, strip,
};

pub use child::run as run_child;

/// Uploads that wait at a time.
const QUEUE_MAX: usize = 16;

/// Name of the file without descriptions in the directory of [`Images::prepare`].
const CLEAN: &str = "clean";
/// Buffer of a copy.
const BUFFER_BYTES: usize = 64 << 10;

/// How pictures are decoded.
#[derive(Clone, Debug)]
pub struct ImagesOptions {
    /// What is run for each picture; calls [`run_child`] and ends with its exit code.
    pub program: PathBuf,
    /// Its arguments; those that [`run_child`] takes follow.
    pub arguments: Vec<OsString>,
    /// Processes at a time, 1 or 2.
    pub children: usize,
    /// Memory of one, in bytes, beyond what the program takes when it starts.
    pub memory_bytes: u64,
    /// After which one is killed.
    pub timeout: Duration,
}

impl ImagesOptions {
    /// This program again with `arguments`, one at a time, with 512 MiB, for ten seconds.
    #[must_use]
    pub fn this_program(arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self {
            // What runs, also when its file was replaced meanwhile.
            program: PathBuf::from("/proc/self/exe"),
            arguments: arguments.into_iter().collect(),
            children: 1,
            memory_bytes: 512 << 20,
            timeout: Duration::from_secs(10),
        }
    }
}

/// An upload that may be given to others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prepared {
    /// What it is: what was declared, where that is a finer name of what was found.
    pub media_type: MediaType,
    /// Where it is: in the directory that was named if it had to be rewritten, or where it was.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Pixels across as it is shown; `None` for what is not read.
    pub width: Option<u32>,
    /// Pixels down as it is shown.
    pub height: Option<u32>,
    /// Small pictures, the smallest first; none of what is not read.
    pub thumbnails: Vec<PreparedThumbnail>,
}

/// A small picture of an upload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PreparedThumbnail {
    /// The side of its box, of [`crate::BOXES`].
    pub fits: u32,
    /// JPEG or PNG.
    pub media_type: MediaType,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Its length.
    pub bytes: u64,
    /// Where it is, in the directory that was named.
    pub path: PathBuf,
}

/// Why an upload is not for others.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refused {
    /// Its first bytes are of no type that is allowed.
    UnknownType,
    /// It is of another type than was declared.
    OtherType {
        /// What it is.
        found: MediaType,
    },
    /// It is damaged, or has too many frames.
    Picture(StripError),
    /// It has more pixels, or takes more memory, than is allowed.
    TooLarge,
    /// It cannot be decoded.
    Undecodable,
    /// Decoding took too long and was ended.
    TimedOut,
    /// Too many wait; come back.
    Busy,
    /// The threads have ended.
    Ended,
    /// Files cannot be read or written, or no process started.
    Io(io::Error),
}

impl Refused {
    /// Whether the same file may be taken later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy | Self::Ended | Self::Io(_) | Self::Picture(StripError::Io(_)))
    }

    const fn outcome(&self) -> ImageOutcome {
        match self {
            Self::TooLarge => ImageOutcome::TooLarge,
            Self::TimedOut => ImageOutcome::TimedOut,
            Self::Busy | Self::Ended => ImageOutcome::Busy,
            Self::Io(_) | Self::Picture(StripError::Io(_)) => ImageOutcome::Failed,
            Self::UnknownType | Self::OtherType { .. } | Self::Picture(_) | Self::Undecodable => {
                ImageOutcome::Refused
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType => f.write_str("the file is of no type that is allowed"),
            Self::OtherType { found } => write!(f, "the file is {}, not what was declared", found.as_str()),
            Self::Picture(error) => error.fmt(f),
            Self::TooLarge => f.write_str("the picture has too many pixels"),
            Self::Undecodable => f.write_str("the picture cannot be decoded"),
            Self::TimedOut => f.write_str("the picture took too long to decode"),
            Self::Busy => f.write_str("too many uploads wait"),
            Self::Ended => f.write_str("the server ends"),
            Self::Io(error) => write!(f, "the upload cannot be read or written: {error}"),
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Picture(error) => Some(error),
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<StripError> for Refused {
    fn from(error: StripError) -> Self {
        Self::Picture(error)
    }
}

/// Where uploads are given. Clones share the threads.
#[derive(Clone, Debug)]
pub struct Images {
    compute: Compute,
    options: Arc<ImagesOptions>,
    counts: Arc<ImageCounts>,
}

impl Images {
    /// Starts as many threads as there may be processes.
    ///
    /// # Errors
    /// No thread.
    pub fn start(options: ImagesOptions) -> io::Result<(Self, ComputeThreads)> {
        let (compute, threads) = Compute::named("images", options.children, QUEUE_MAX)?;
        Ok((Self { compute, options: Arc::new(options), counts: Arc::default() }, threads))
    }

    /// What it counts.
    #[must_use]
    pub const fn counts(&self) -> &Arc<ImageCounts> {
        &self.counts
    }

    /// Prepares the file at `path`, which stays as it is. `directory` is empty and the caller's to remove, also after a failure.
    ///
    /// JPEG, PNG, GIF and WebP are copied without descriptions, and get small pictures. Everything else is taken as it is: AVIF, HEIC, films
    /// and documents keep what they tell.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn prepare(
        &self,
        path: PathBuf,
        directory: PathBuf,
        declared: MediaType,
    ) -> Result<Prepared, Refused> {
        let options = Arc::clone(&self.options);
        let work = move || prepare(&options, path, &directory, declared);
        let result = match self.compute.run(work).await {
            Ok(result) => result,
            Err(ComputeError::Busy) => Err(Refused::Busy),
            Err(_) => Err(Refused::Ended),
        };
        self.counts.count(result.as_ref().map_or_else(Refused::outcome, |_| ImageOutcome::Prepared));
        result
    }

    /// Its queue, for what else takes time and ends by itself.
    #[must_use]
    pub const fn compute(&self) -> &Compute {
        &self.compute
    }
}

fn prepare(
    options: &ImagesOptions,
    path: PathBuf,
    directory: &Path,
    declared: MediaType,
) -> Result<Prepared, Refused> {
    let mut file = File::open(&path)?;
    let mut head = Vec::with_capacity(SNIFF_BYTES);
    (&mut file).take(SNIFF_BYTES as u64).read_to_end(&mut head)?;
    let found = sniff(&head).ok_or(Refused::UnknownType)?;
    if !found.agrees(declared) {
        return Err(Refused::OtherType { found });
    }
    // A book that is declared to be a plain ZIP is told as the book it is.
    let media_type = if declared == found.container() { found } else { declared };
    if !media_type.is_read() {
        let bytes = file.metadata()?.len();
        return Ok(Prepared { media_type, path, bytes, width: None, height: None, thumbnails: Vec::new() });
    }
    file.rewind()?;
    let clean = directory.join(CLEAN);
    let mut to =
        BufWriter::with_capacity(BUFFER_BYTES, File::options().write(true).create_new(true).open(&clean)?);
    let stripped = strip(media_type, &mut BufReader::with_capacity(BUFFER_BYTES, file), &mut to)?;
    let bytes = to.get_ref().metadata()?.len();
    drop(to);
    if !is_small_enough(stripped.width, stripped.height) {
        return Err(Refused::TooLarge);
    }
    let mut thumbnails = Vec::new();
    for one in parent::decode(options, media_type, File::open(&clean)?)? {
        let path = directory.join(format!("{}.{}", one.fits, one.kind.extension()));
        std::fs::write(&path, &one.bytes)?;
        thumbnails.push(PreparedThumbnail {
            fits: one.fits,
            media_type: one.kind,
            width: one.width,
            height: one.height,
            bytes: one.bytes.len() as u64,
            path,
        });
    }
    let (width, height) = stripped.shown();
    Ok(Prepared { media_type, path: clean, bytes, width: Some(width), height: Some(height), thumbnails })
}
