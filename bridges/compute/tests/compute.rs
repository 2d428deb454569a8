//! Pictures are read by another decoder; work is bounded.

use std::sync::mpsc::channel;

use lynk_compute::{Compute, ComputeError, QUEUE_MAX, QrError, TEXT_BYTES_MAX, qr};
use lynk_telemetry::{Metric, Snapshot, Value};

const URI: &str = "otpauth://totp/Lynk:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Lynk&algorithm=SHA1&digits=6&period=30";

/// What a camera would see: whether the pixel is dark, by place.
fn read(side: usize, dark: impl Fn(usize, usize) -> bool) -> String {
    let bright = |x, y| if dark(x, y) { 0 } else { 255 };
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(side, side, bright);
    let codes = picture.detect_grids();
    assert_eq!(codes.len(), 1, "one code");
    codes[0].decode().expect("reads").1
}

fn read_png(file: &[u8]) -> String {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().expect("a PNG");
    let mut rows = vec![0; reader.output_buffer_size().expect("small")];
    let info = reader.next_frame(&mut rows).expect("whole");
    assert_eq!(info.width, info.height);
    let stride = info.line_size;
    read(info.width as usize, |x, y| rows[y * stride + x / 8] & (0x80 >> (x % 8)) == 0)
}

/// The squares of the one path that the renderer writes: `M x y h w v h H x V y`.
fn read_svg(text: &str) -> String {
    assert!(text.starts_with("<?xml") && text.contains(r#"xmlns="http://www.w3.org/2000/svg""#));
    let part =
        |start: &str| text.split_once(start).and_then(|(_, rest)| rest.split_once('"')).expect("there").0;
    let side: usize = part(r#" width=""#).parse().expect("a number");
    let mut pixels = vec![false; side * side];
    for square in part(r#" d=""#).split('M').skip(1) {
        let numbers: Vec<usize> = square
            .split(|c: char| !c.is_ascii_digit())
            .filter(|number| !number.is_empty())
            .map(|number| number.parse().expect("a number"))
            .collect();
        let [left, top, width, height, ..] = numbers[..] else { panic!("{square}") };
        for y in top..top + height {
            pixels[y * side + left..y * side + left + width].fill(true);
        }
    }
    read(side, |x, y| pixels[y * side + x])
}

#[test]
fn both_pictures_say_the_text() {
    for text in [URI, "a", "Straße", &"7".repeat(TEXT_BYTES_MAX / 4)] {
        let pictures = qr(text).expect("fits");
        assert_eq!(read_png(&pictures.png), text);
        assert_eq!(read_svg(&pictures.svg), text);
        assert!(pictures.png.len() < 8 << 10, "{} bytes", pictures.png.len());
        assert_eq!(format!("{pictures:?}"), "Qr(redacted)");
    }
}

#[test]
fn a_text_that_no_display_shows_well_is_refused() {
    assert!(qr(&"a".repeat(TEXT_BYTES_MAX)).is_ok());
    assert_eq!(qr(&"a".repeat(TEXT_BYTES_MAX + 1)), Err(QrError::TooLong));
}

fn number(compute: &Compute, metric: Metric) -> Vec<f64> {
    let mut snapshot = Snapshot::new();
    compute.counts().add_to(&mut snapshot);
    let of_metric = snapshot.series().iter().filter(|series| series.metric == metric);
    of_metric.map(|series| if let Value::Number(number) = series.value { number } else { f64::NAN }).collect()
}

#[test]
fn what_has_no_room_is_refused_and_what_nobody_waits_for_is_left_out() {
    let (compute, threads) = Compute::start(1).expect("a thread");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (began, begins) = channel();
    let (release, held) = channel::<()>();
    runtime.block_on(async {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let first = tokio::task::spawn_local({
                    let compute = compute.clone();
                    async move {
                        compute
                            .run(move || {
                                began.send(()).expect("the test waits");
                                held.recv().expect("released");
                                1
                            })
                            .await
                    }
                });
                tokio::task::yield_now().await;
                begins.recv().expect("the thread is held");
                let (done, dones) = channel();
                let mut waiting: Vec<_> = (0..QUEUE_MAX)
                    .map(|number| {
                        let (compute, done) = (compute.clone(), done.clone());
                        tokio::task::spawn_local(async move {
                            compute.run(move || done.send(number).expect("the test reads")).await
                        })
                    })
                    .collect();
                while number(&compute, Metric::ComputeWaiting) != [QUEUE_MAX as f64] {
                    tokio::task::yield_now().await;
                }
                assert_eq!(compute.run(|| ()).await, Err(ComputeError::Busy));
                assert_eq!(number(&compute, Metric::ComputeWaiting), [QUEUE_MAX as f64]);
                // The asker of one goes away.
                let gone = waiting.remove(7);
                gone.abort();
                assert!(gone.await.expect_err("ended").is_cancelled());
                release.send(()).expect("the thread waits");
                assert_eq!(first.await.expect("whole"), Ok(1));
                for one in waiting {
                    assert_eq!(one.await.expect("whole"), Ok(()));
                }
                drop(done);
                let numbers: Vec<usize> = dones.iter().collect();
                let expected: Vec<usize> = (0..QUEUE_MAX).filter(|number| *number != 7).collect();
                assert_eq!(numbers, expected, "in order, without the one that nobody waits for");
            })
            .await;
    });
    let counts = std::sync::Arc::clone(compute.counts());
    drop(compute);
    threads.join();
    let mut snapshot = Snapshot::new();
    counts.add_to(&mut snapshot);
    let jobs: Vec<_> =
        snapshot.series().iter().filter(|series| series.metric == Metric::ComputeJobs).collect();
    assert!(matches!(jobs[0].value, Value::Number(done) if done == QUEUE_MAX as f64 + 1.0));
    assert!(matches!(jobs[1].value, Value::Number(refused) if refused == 1.0));
}
