use std::io::Cursor;

use image::{DynamicImage, ImageReader};
use lynk_compute::{FRAMES_MAX, MediaType, SCANS_MAX, StripError};

use crate::files::{self, SECRET, holds, strip};

fn decoded(file: &[u8]) -> DynamicImage {
    ImageReader::new(Cursor::new(file)).with_guessed_format().expect("a picture").decode().expect("opens")
}

#[test]
fn descriptions_are_gone_and_pixels_are_as_they_were() {
    for (kind, file) in files::all() {
        assert!(holds(&file, SECRET), "{kind:?}: the file has something to hide");
        let (clean, stripped) = strip(kind, &file).expect("a good picture");
        assert!(!holds(&clean, SECRET) && !holds(&clean, b"XMP"), "{kind:?}");
        assert!(clean.len() < file.len());
        assert_eq!((stripped.width, stripped.height), (64, 48), "{kind:?}");
        assert_eq!(decoded(&clean).into_rgba8(), decoded(&file).into_rgba8(), "{kind:?}");
        let (again, same) = strip(kind, &clean).expect("a good picture");
        assert_eq!((again, same), (clean, stripped), "{kind:?}: nothing more to leave out");
    }
}

#[test]
fn which_way_is_up_stays() {
    for orientation in 1..=8 {
        for (kind, file) in [
            (MediaType::Jpeg, files::jpeg(64, 48, orientation)),
            (MediaType::Png, files::png(&files::glass(64, 48), orientation)),
            (MediaType::Webp, files::webp(&files::glass(64, 48), orientation)),
        ] {
            let (clean, stripped) = strip(kind, &file).expect("a good picture");
            assert_eq!(u16::from(stripped.orientation), orientation);
            assert_eq!(stripped.shown(), if orientation >= 5 { (48, 64) } else { (64, 48) });
            let described = holds(&clean, b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12");
            assert_eq!(described, orientation != 1, "{kind:?} {orientation}");
            let (again, same) = strip(kind, &clean).expect("a good picture");
            assert_eq!((again, same), (clean, stripped), "{kind:?}");
        }
    }
    for strange in [0, 9, 700] {
        let (clean, stripped) = strip(MediaType::Jpeg, &files::jpeg(8, 8, strange)).expect("a good picture");
        assert_eq!(stripped.orientation, 1);
        assert!(!holds(&clean, b"Exif"));
    }
}

#[test]
fn what_colours_need_stays() {
    let (clean, _) = strip(MediaType::Png, &files::png(&files::glass(8, 8), 1)).expect("a good picture");
    assert!(holds(&clean, b"gAMA") && !holds(&clean, b"tIME") && !holds(&clean, b"prVt"));
    let plain = files::plain_jpeg(8, 8);
    let mut file = plain[..2].to_vec();
    file.extend(b"\xff\xe2\0\x12ICC_PROFILE\0\x01\x01xy");
    file.extend(b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x01");
    file.extend(&plain[2..]);
    let (clean, _) = strip(MediaType::Jpeg, &file).expect("a good picture");
    assert!(holds(&clean, b"ICC_PROFILE") && holds(&clean, b"Adobe") && holds(&clean, b"JFIF"));
}

#[test]
fn animations_keep_their_frames_and_their_number_is_bounded() {
    let (clean, stripped) = strip(MediaType::Gif, &files::gif(16, 16, 5)).expect("a good picture");
    assert_eq!(stripped.frames, 5);
    assert!(holds(&clean, b"NETSCAPE2.0"), "it still repeats");
    let max = usize::try_from(FRAMES_MAX).expect("it fits");
    // One frame again and again: head, and the frame's block up to the trailer.
    let one = strip(MediaType::Gif, &files::gif(2, 2, 1)).expect("a good picture").0;
    let image = one.iter().rposition(|byte| *byte == 0x2c).expect("a frame");
    let frame = &one[image..one.len() - 1];
    let many = |frames: usize| [&one[..image], &frame.repeat(frames), &[0x3b]].concat();
    assert_eq!(strip(MediaType::Gif, &many(max)).expect("at the limit").1.frames, FRAMES_MAX);
    assert!(matches!(strip(MediaType::Gif, &many(max + 1)), Err(StripError::TooComplex)));
}

#[test]
fn passes_over_a_jpeg_are_bounded() {
    let plain = files::plain_jpeg(8, 8);
    let start = plain.windows(2).position(|two| two == [0xff, 0xda]).expect("a scan");
    let scans =
        |count| [&plain[..start], &plain[start..plain.len() - 2].repeat(count), &[0xff, 0xd9]].concat();
    let max = usize::try_from(SCANS_MAX).expect("it fits");
    assert!(strip(MediaType::Jpeg, &scans(max)).is_ok());
    assert!(matches!(strip(MediaType::Jpeg, &scans(max + 1)), Err(StripError::TooComplex)));
}

#[test]
fn a_cut_file_is_told() {
    for (kind, file) in files::all() {
        let (clean, _) = strip(kind, &file).expect("a good picture");
        for end in 0..clean.len() - 1 {
            let error = strip(kind, &clean[..end]).expect_err("cut");
            assert!(matches!(error, StripError::Truncated), "{kind:?} at {end} of {}: {error}", clean.len());
        }
    }
    assert!(matches!(strip(MediaType::Heic, b""), Err(StripError::Unsupported)));
}
