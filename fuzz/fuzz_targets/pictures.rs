//! Pictures of strangers, copied without descriptions: nothing panics, nothing grows, and what was copied is copied the same again.
//!
//! Input: a kind (1 byte), then a file.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use lynk_compute::{MediaType, sniff, strip};

fuzz_target!(|data: &[u8]| {
    let [kind, file @ ..] = data else { return };
    let kind = [MediaType::Jpeg, MediaType::Png, MediaType::Gif, MediaType::Webp][usize::from(*kind % 4)];
    let _ = sniff(file);
    let mut clean = Cursor::new(Vec::new());
    let Ok(stripped) = strip(kind, &mut Cursor::new(file), &mut clean) else { return };
    let clean = clean.into_inner();
    assert!(clean.len() <= file.len() + 64);
    assert_eq!(sniff(&clean), Some(kind));
    let mut again = Cursor::new(Vec::new());
    let same = strip(kind, &mut Cursor::new(&clean), &mut again).expect("what was copied is whole");
    assert_eq!((again.into_inner(), same), (clean, stripped));
});
