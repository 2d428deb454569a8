//! Pictures are decoded by another process of this program, within its limits.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use image::codecs::gif::GifEncoder;
use image::codecs::png::PngEncoder;
use image::{Frame, ImageEncoder as _, Rgba, RgbaImage};
use lynk_compute::{Images, ImagesOptions, MediaType, Prepared, Refused};
use nix::sys::resource::{UsageWho, getrusage};
use tempfile::TempDir;

const MEMORY: u64 = 512 << 20;

fn options() -> ImagesOptions {
    ImagesOptions {
        program: PathBuf::from(env!("CARGO_BIN_EXE_lynk")),
        memory_bytes: MEMORY,
        timeout: Duration::from_secs(30),
        ..ImagesOptions::this_program([OsString::from("decode-image")])
    }
}

fn prepare(options: ImagesOptions, file: &[u8], declared: MediaType) -> (Result<Prepared, Refused>, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, out) = (directory.path().join("upload"), directory.path().join("out"));
    fs::write(&path, file).expect("writes");
    fs::create_dir(&out).expect("makes");
    let (images, threads) = Images::start(options).expect("starts");
    let prepared = pollster::block_on(images.prepare(path, out, declared));
    drop(images);
    threads.join();
    (prepared, directory)
}

fn refused(file: &[u8], declared: MediaType) -> Refused {
    let refused = prepare(options(), file, declared).0.expect_err("refused");
    // Bytes; Linux counts KiB. The program itself is some of it.
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).expect("counted").max_rss() * 1_024;
    assert!(u64::try_from(peak).expect("positive") < MEMORY, "{peak} bytes at the most");
    refused
}

fn noise(width: u32, height: u32) -> RgbaImage {
    RgbaImage::from_fn(width, height, |x, y| {
        let mix = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519);
        let [r, g, b, _] = mix.to_le_bytes();
        Rgba([r, g, b, 200])
    })
}

fn png(picture: &RgbaImage) -> Vec<u8> {
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(picture.as_raw(), picture.width(), picture.height(), image::ExtendedColorType::Rgba8)
        .expect("encodes");
    file
}

/// The header of a PNG says another size; its checksum is right.
fn resized(mut file: Vec<u8>, width: u32, height: u32) -> Vec<u8> {
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = !file[12..29].iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    });
    file[29..33].copy_from_slice(&crc.to_be_bytes());
    file
}

#[test]
fn a_picture_comes_back_clean_with_small_ones() {
    let (prepared, directory) = prepare(options(), &png(&noise(1_500, 1_000)), MediaType::Png);
    let prepared = prepared.expect("a good picture");
    assert_eq!((prepared.width, prepared.height), (Some(1_500), Some(1_000)));
    assert!(prepared.path.starts_with(directory.path().join("out")));
    assert_eq!(fs::metadata(&prepared.path).expect("there").len(), prepared.bytes);
    let sizes: Vec<_> = prepared.thumbnails.iter().map(|one| (one.fits, one.width, one.height)).collect();
    assert_eq!(sizes, [(320, 320, 213), (1_280, 1_280, 853)]);
    for one in &prepared.thumbnails {
        assert_eq!(fs::metadata(&one.path).expect("there").len(), one.bytes);
        let opened = image::open(&one.path).expect("opens");
        assert_eq!((opened.width(), opened.height()), (one.width, one.height));
        assert_eq!(one.media_type, MediaType::Png, "it is transparent");
    }
}

#[test]
fn what_is_no_picture_is_taken_as_it_is() {
    let (prepared, directory) = prepare(options(), b"a,b\n1,2\n", MediaType::Csv);
    let prepared = prepared.expect("text");
    assert_eq!((prepared.media_type, prepared.bytes, prepared.width), (MediaType::Csv, 8, None));
    assert_eq!(prepared.path, directory.path().join("upload"));
    let lie = prepare(options(), b"<html>", MediaType::Png).0;
    assert!(matches!(lie, Err(Refused::OtherType { found: MediaType::Text })), "{lie:?}");
    let program = prepare(options(), b"\x7fELF\x02\x01\x01\0", MediaType::Text).0;
    assert!(matches!(program, Err(Refused::UnknownType)), "{program:?}");
}

#[test]
fn bombs_are_refused_within_the_memory_of_a_process() {
    let small = png(&noise(16, 16));
    assert!(matches!(refused(&resized(small.clone(), 50_000, 50_000), MediaType::Png), Refused::TooLarge));
    // Fewer pixels than the limit, and hardly any data for them.
    let hollow = resized(small, 7_000, 7_000);
    assert!(matches!(refused(&hollow, MediaType::Png), Refused::Undecodable));
    let mut jpeg = Vec::new();
    image::DynamicImage::from(noise(64, 64))
        .into_rgb8()
        .write_with_encoder(image::codecs::jpeg::JpegEncoder::new(&mut jpeg))
        .expect("encodes");
    let frame = jpeg.windows(2).position(|two| two == [0xff, 0xc0]).expect("a frame");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    assert!(matches!(refused(&jpeg, MediaType::Jpeg), Refused::TooLarge));
    let mut gif = Vec::new();
    GifEncoder::new(&mut gif).encode_frame(Frame::new(noise(8, 8))).expect("encodes");
    let one = gif.clone();
    gif[6..10].fill(0xff);
    assert!(matches!(refused(&gif, MediaType::Gif), Refused::TooLarge));
    let image = one.iter().rposition(|byte| *byte == 0x2c).expect("a frame");
    let many = [&one[..image], &one[image..one.len() - 1].repeat(2_001), &[0x3b]].concat();
    assert!(matches!(refused(&many, MediaType::Gif), Refused::Picture(_)));
}

#[test]
fn a_large_picture_of_one_colour_fits() {
    let white = RgbaImage::from_pixel(7_000, 7_000, Rgba([255; 4]));
    let file = png(&white);
    let (prepared, _directory) = prepare(options(), &file, MediaType::Png);
    assert_eq!(prepared.expect("49 megapixels").thumbnails.len(), 2);
}

#[test]
fn a_process_without_memory_ends_and_says_so() {
    let options = ImagesOptions { memory_bytes: 8 << 20, ..options() };
    let (result, _directory) = prepare(options, &png(&noise(2_000, 2_000)), MediaType::Png);
    assert!(matches!(result, Err(Refused::TooLarge)), "{result:?}");
}

/// A process that never ends, in place of a decoder that does not.
#[test]
fn a_process_is_killed_at_its_deadline() {
    let directory = tempfile::tempdir().expect("a directory");
    let note = directory.path().join("pid");
    let script = format!("echo $$ > {}; while :; do :; done", note.display());
    let options = ImagesOptions {
        program: PathBuf::from("/bin/sh"),
        arguments: ["-c", &script].map(OsString::from).into(),
        timeout: Duration::from_secs(3),
        ..options()
    };
    let started = Instant::now();
    let (result, _files) = prepare(options, &png(&noise(8, 8)), MediaType::Png);
    assert!(matches!(result, Err(Refused::TimedOut)), "{result:?}");
    assert!(started.elapsed() < Duration::from_secs(60));
    let pid = fs::read_to_string(&note).expect("it ran");
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "killed and waited for");
}

#[test]
fn a_process_that_writes_nonsense_is_refused() {
    for (script, temporary) in
        [("echo nonsense", false), ("exit 0", false), ("exit 65", false), ("exit 9", true)]
    {
        let options = ImagesOptions {
            program: PathBuf::from("/bin/sh"),
            arguments: ["-c", script].map(OsString::from).into(),
            ..options()
        };
        let (result, _directory) = prepare(options, &png(&noise(8, 8)), MediaType::Png);
        assert_eq!(result.expect_err(script).is_temporary(), temporary, "{script}");
    }
}

/// What a decoder could do that somebody took over.
#[test]
fn a_process_is_confined_before_it_reads() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lynk"))
        .args(["decode-image", "image/png", "100000000", "20"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    let facts = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", child.id())).expect("it runs");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !facts("status").contains("Seccomp:\t2") {
        assert!(Instant::now() < deadline, "no filter of calls");
        std::thread::sleep(Duration::from_millis(5));
    }
    let limits = facts("limits");
    for (limit, most) in
        [("Max open files", "0"), ("Max processes", "0"), ("Max file size", "0"), ("Max cpu time", "20")]
    {
        let line = limits.lines().find(|line| line.starts_with(limit)).expect("a limit");
        let values: Vec<_> = line[limit.len()..].split_whitespace().take(2).collect();
        assert_eq!(values, [most, most], "{line}");
    }
    let line = limits.lines().find(|line| line.starts_with("Max address space")).expect("a limit");
    assert!(!line.contains("unlimited"), "{line}");
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("ends").code(), Some(65), "an empty file is no picture");
    let nonsense = Command::new(env!("CARGO_BIN_EXE_lynk"))
        .args(["decode-image", "image/png", "much", "20"])
        .status()
        .expect("runs");
    assert_eq!(nonsense.code(), Some(67), "limits that cannot be read are no limits");
}
