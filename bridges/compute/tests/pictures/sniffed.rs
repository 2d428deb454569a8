use lynk_compute::{MediaType, SNIFF_BYTES, sniff};

use crate::files;

fn ftyp(brands: &[&[u8; 4]]) -> Vec<u8> {
    let mut file = u32::try_from(8 + 4 + brands.len() * 4).expect("it fits").to_be_bytes().to_vec();
    file.extend(b"ftyp");
    file.extend(brands[0]);
    file.extend([0; 4]);
    brands[1..].iter().for_each(|brand| file.extend(*brand));
    // Another box, whose content is no brand.
    file.extend(b"avif");
    file
}

fn stored(kind: &str) -> Vec<u8> {
    let mut file = b"PK\x03\x04".to_vec();
    file.resize(26, 0);
    file.extend([8, 0, 0, 0]);
    file.extend(b"mimetype");
    file.extend(kind.as_bytes());
    file
}

#[test]
fn every_type_is_known_by_its_first_bytes() {
    let ebml = |kind: &[u8]| [b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84".as_slice(), kind].concat();
    let known: Vec<(MediaType, Vec<u8>)> = vec![
        (MediaType::Avif, ftyp(&[b"avif", b"mif1"])),
        (MediaType::Avif, ftyp(&[b"mif1", b"miaf", b"avif"])),
        (MediaType::Heic, ftyp(&[b"heic", b"mif1"])),
        (MediaType::Heic, ftyp(&[b"mif1", b"heic"])),
        (MediaType::Mp4, ftyp(&[b"isom", b"avc1"])),
        (MediaType::M4a, ftyp(&[b"M4A ", b"isom"])),
        (MediaType::Mov, ftyp(&[b"qt  "])),
        (MediaType::Webm, ebml(b"webm")),
        (MediaType::Mp3, b"ID3\x04\0\0".to_vec()),
        (MediaType::Mp3, vec![0xff, 0xfb, 0x90, 0x64]),
        (MediaType::Ogg, b"OggS\0\x02".to_vec()),
        (MediaType::Wav, b"RIFF\x24\0\0\0WAVEfmt ".to_vec()),
        (MediaType::Pdf, b"%PDF-1.7\n".to_vec()),
        (MediaType::Zip, b"PK\x05\x06".to_vec()),
        (MediaType::Zip, b"PK\x03\x04 too short".to_vec()),
        (MediaType::Odt, stored(MediaType::Odt.as_str())),
        (MediaType::Epub, stored("application/epub+zipPK")),
        (MediaType::Zip, stored("application/x-something")),
        (MediaType::Text, "Grüße\r\n\tan alle".as_bytes().to_vec()),
    ];
    for (kind, file) in known.into_iter().chain(files::all()) {
        assert_eq!(sniff(&file), Some(kind), "{:?}", &file[..file.len().min(16)]);
    }
}

#[test]
fn what_is_not_allowed_has_no_type() {
    let matroska = b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska".to_vec();
    let program = b"\x7fELF\x02\x01\x01\0".to_vec();
    for file in [
        matroska,
        program,
        ftyp(&[b"evil"]),
        vec![],
        b"MZ\x90\0".to_vec(),
        vec![0xff, 0xfe, 0x41, 0],
        b"a\0b".to_vec(),
    ] {
        assert_eq!(sniff(&file), None, "{file:?}");
    }
    // Every beginning of every type is one type or none.
    for (_, file) in files::all() {
        for end in 0..file.len().min(64) {
            let _ = sniff(&file[..end]);
        }
    }
}

#[test]
fn a_character_may_be_cut_only_where_reading_ended() {
    let mut text = "ä".repeat(SNIFF_BYTES / 2).into_bytes();
    text.insert(0, b'a');
    assert_eq!(sniff(&text[..SNIFF_BYTES]), Some(MediaType::Text));
    assert_eq!(sniff(&text[..100]), None, "a whole file that ends in a character");
}

#[test]
fn a_declared_type_agrees_with_what_begins_alike() {
    let declared = |text| MediaType::parse(text).expect(text);
    assert!(
        MediaType::Zip
            .agrees(declared("application/vnd.openxmlformats-officedocument.wordprocessingml.document"))
    );
    assert!(MediaType::Text.agrees(declared("Text/CSV; charset=utf-8")));
    assert!(MediaType::Mp4.agrees(declared("audio/mp4")));
    assert!(MediaType::Jpeg.agrees(declared("image/jpg")));
    assert!(!MediaType::Png.agrees(MediaType::Jpeg));
    assert!(!MediaType::Text.agrees(MediaType::Png));
    for refused in
        ["text/html", "image/svg+xml", "application/javascript", "", "image/", "application/octet-stream"]
    {
        assert_eq!(MediaType::parse(refused), None, "{refused}");
    }
    for one in MediaType::ALL {
        assert_eq!(MediaType::parse(one.as_str()), Some(*one));
        assert!(one.agrees(*one) && one.container().agrees(*one) && !one.extension().is_empty());
    }
}

#[test]
fn a_file_is_saved_under_a_name_that_ends_as_its_type_does() {
    for (kind, name, saved) in [
        (MediaType::Pdf, "report.pdf", "report.pdf"),
        (MediaType::Pdf, "REPORT.PDF", "REPORT.PDF"),
        (MediaType::Pdf, "report.exe", "report.exe.pdf"),
        (MediaType::Pdf, "report.pdf/run.sh", "report.pdf/run.sh.pdf"),
        (MediaType::Jpeg, "holiday.jpeg", "holiday.jpeg"),
        (MediaType::Png, "holiday.jpeg", "holiday.jpeg.png"),
        (MediaType::Text, "page.html", "page.html.txt"),
        (MediaType::Zip, "no end", "no end.zip"),
        (MediaType::Zip, "", ""),
    ] {
        assert_eq!(kind.saved_as(name), saved, "{name}");
    }
    // One end is of one type, so a name cannot be right for two.
    let mut ends: Vec<_> = MediaType::ALL.iter().flat_map(|one| one.extensions()).collect();
    let count = ends.len();
    ends.sort_unstable();
    ends.dedup();
    assert_eq!(ends.len(), count);
}
