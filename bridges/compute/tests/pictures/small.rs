use std::io::Cursor;

use image::{Rgb, RgbImage};
use lynk_compute::{MediaType, Thumbnail, ThumbnailError, thumbnails};

use crate::files;

fn small(kind: MediaType, file: &[u8]) -> Vec<Thumbnail> {
    thumbnails(kind, Cursor::new(file)).expect("a good picture")
}

fn opened(one: &Thumbnail) -> RgbImage {
    let picture = image::load_from_memory(&one.bytes).expect("opens").into_rgb8();
    assert_eq!((picture.width(), picture.height()), (one.width, one.height));
    picture
}

/// The strongest colour at a place: 0 red, 1 green, 2 blue.
fn color(picture: &RgbImage, x: u32, y: u32) -> usize {
    let Rgb(colors) = picture.get_pixel(x, y);
    (0..3).max_by_key(|at| colors[*at]).expect("three")
}

#[test]
fn pictures_fit_their_boxes_and_are_never_enlarged() {
    let sizes = |file: &[u8]| -> Vec<_> {
        small(MediaType::Jpeg, file).iter().map(|one| (one.fits, one.width, one.height)).collect()
    };
    assert_eq!(sizes(&files::plain_jpeg(2_600, 1_300)), [(320, 320, 160), (1_280, 1_280, 640)]);
    assert_eq!(sizes(&files::plain_jpeg(1_500, 3_000)), [(320, 160, 320), (1_280, 640, 1_280)]);
    assert_eq!(sizes(&files::plain_jpeg(1_280, 100)), [(320, 320, 25)]);
    assert_eq!(sizes(&files::plain_jpeg(321, 321)), [(320, 320, 320)]);
    assert_eq!(sizes(&files::plain_jpeg(40, 30)), [(320, 40, 30)]);
    assert_eq!(sizes(&files::plain_jpeg(4_000, 1)), [(320, 320, 1), (1_280, 1_280, 1)]);
}

#[test]
fn small_pictures_are_upright() {
    // Where the scene's red, blue and green are after turning: as fractions of a hundred.
    let places = [
        (1, [(20, 20), (20, 80), (90, 50)]),
        (2, [(80, 20), (80, 80), (10, 50)]),
        (3, [(80, 80), (80, 20), (10, 50)]),
        (4, [(20, 80), (20, 20), (90, 50)]),
        (5, [(20, 20), (80, 20), (50, 90)]),
        (6, [(80, 20), (20, 20), (50, 90)]),
        (7, [(80, 80), (20, 80), (50, 10)]),
        (8, [(20, 80), (80, 80), (50, 10)]),
    ];
    for (orientation, [red, blue, green]) in places {
        for (kind, file) in [
            (MediaType::Jpeg, files::jpeg(800, 400, orientation)),
            (MediaType::Png, files::png(&opaque(800, 400), orientation)),
            (MediaType::Webp, files::webp(&opaque(800, 400), orientation)),
        ] {
            let (clean, _) = files::strip(kind, &file).expect("a good picture");
            for one in small(kind, &clean) {
                let picture = opened(&one);
                assert_eq!(one.kind, MediaType::Jpeg);
                assert_eq!(one.width > one.height, orientation < 5);
                for (expected, (x, y)) in [(0, red), (2, blue), (1, green)] {
                    let found = color(&picture, one.width * x / 100, one.height * y / 100);
                    assert_eq!(found, expected, "{kind:?} {orientation}");
                }
            }
        }
    }
}

fn opaque(width: u32, height: u32) -> image::RgbaImage {
    image::DynamicImage::from(files::scene(width, height)).into_rgba8()
}

#[test]
fn what_is_transparent_stays_so() {
    for (kind, file) in [
        (MediaType::Png, files::png(&files::glass(700, 400), 1)),
        (MediaType::Webp, files::webp(&files::glass(700, 400), 1)),
    ] {
        let one = small(kind, &file).remove(0);
        assert_eq!(one.kind, MediaType::Png);
        let picture = image::load_from_memory(&one.bytes).expect("opens").into_rgba8();
        assert_eq!(picture.get_pixel(10, 10).0[3], 255);
        assert_eq!(picture.get_pixel(10, one.height - 10).0[3], 60);
    }
    let first = small(MediaType::Gif, &files::gif(700, 400, 3)).remove(0);
    assert_eq!((first.width, first.height), (320, 183));
}

#[test]
fn small_pictures_tell_nothing() {
    for (kind, file) in files::all() {
        for one in small(kind, &file) {
            assert!(
                !files::holds(&one.bytes, files::SECRET) && !files::holds(&one.bytes, b"Exif"),
                "{kind:?}"
            );
        }
    }
}

#[test]
fn too_many_pixels_are_refused_by_the_header() {
    let large = files::png_of(50_000, 50_000, &[]);
    assert_eq!(thumbnails(MediaType::Png, Cursor::new(&large)), Err(ThumbnailError::TooLarge));
    let mut jpeg = files::plain_jpeg(8, 8);
    let frame = jpeg.windows(2).position(|two| two == [0xff, 0xc0]).expect("a frame");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    // The decoder's own bound may be hit first.
    assert!(thumbnails(MediaType::Jpeg, Cursor::new(&jpeg)).is_err());
    let mut gif = files::gif(8, 8, 1);
    gif[6..10].fill(0xff);
    assert_eq!(thumbnails(MediaType::Gif, Cursor::new(&gif)), Err(ThumbnailError::TooLarge));
    assert_eq!(thumbnails(MediaType::Pdf, Cursor::new(b"%PDF-")), Err(ThumbnailError::Unsupported));
}
