//! Blobs on a real disk.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn id(n: u8) -> MediaId {
    MediaId([n; 16])
}

fn opened() -> (tempfile::TempDir, Directory) {
    let temp = tempfile::tempdir().expect("a directory");
    let blobs = Directory::open(&temp.path().join("blobs")).expect("opens");
    (temp, blobs)
}

fn put(blobs: &Directory, id: MediaId, variant: u8, content: &[u8]) {
    let mut upload = blobs.begin(id, variant, content.len() as u64).expect("begins");
    for piece in content.chunks(3) {
        upload.write(piece).expect("takes a piece");
    }
    upload.finish().expect("finishes");
}

fn get(blobs: &Directory, id: MediaId, variant: u8, from: u64, length: u64) -> Vec<u8> {
    let mut blob = blobs.read(id, variant, from, length).expect("there");
    let (mut all, mut buffer) = (Vec::new(), [0; 4]);
    loop {
        match blob.read(&mut buffer).expect("readable") {
            0 => return all,
            length => all.extend_from_slice(&buffer[..length]),
        }
    }
}

fn files(of: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(of).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_blob_is_read_whole_and_in_parts_and_deleted_with_its_variants() {
    let (_temp, blobs) = opened();
    put(&blobs, id(1), 0, b"0123456789");
    put(&blobs, id(1), 2, b"small");
    put(&blobs, id(2), 0, b"");
    assert_eq!(get(&blobs, id(1), 0, 0, u64::MAX), b"0123456789");
    assert_eq!(get(&blobs, id(1), 0, 3, 4), b"3456");
    assert_eq!(get(&blobs, id(1), 0, 8, 99), b"89");
    assert_eq!(get(&blobs, id(1), 0, 10, 1), b"");
    assert_eq!(get(&blobs, id(1), 2, 0, 99), b"small");
    assert_eq!(blobs.bytes(id(1), 0).expect("there"), 10);
    assert_eq!(blobs.read(id(1), 0, 3, 4).expect("there").bytes, 10, "of the whole");
    assert!(matches!(blobs.read(id(1), 1, 0, 1), Err(BlobError::Missing)));
    put(&blobs, id(1), 0, b"anew");
    assert_eq!(get(&blobs, id(1), 0, 0, 99), b"anew", "a picture takes the place of what it was made from");
    for _ in 0..2 {
        blobs.delete(id(1)).expect("deletes, also what is gone");
    }
    assert!(matches!(blobs.bytes(id(1), 0), Err(BlobError::Missing)));
    assert!(matches!(blobs.bytes(id(1), 2), Err(BlobError::Missing)));
    assert_eq!(files(&blobs.root).len(), 1, "the other one stays");
}

#[test]
fn what_is_not_as_long_as_it_was_announced_leaves_nothing() {
    let (_temp, blobs) = opened();
    let mut upload = blobs.begin(id(1), 0, 4).expect("begins");
    upload.write(b"123").expect("takes a piece");
    assert!(matches!(upload.write(b"45"), Err(BlobError::Length { announced: 4, came: 5 })));
    assert_eq!(upload.came(), 3);
    assert!(matches!(upload.finish(), Err(BlobError::Length { announced: 4, came: 3 })));
    drop(blobs.begin(id(2), 0, 4).expect("begins"));
    assert_eq!(files(&blobs.root), Vec::<PathBuf>::new());
    assert!(matches!(blobs.bytes(id(1), 0), Err(BlobError::Missing)));
}

#[test]
fn what_a_dead_process_left_goes_with_the_next_start_and_the_rest_stays() {
    let (temp, blobs) = opened();
    put(&blobs, id(1), 0, b"whole");
    let mut upload = blobs.begin(id(2), 0, 4).expect("begins");
    upload.write(b"123").expect("takes a piece");
    // As a process that is killed: nothing is dropped.
    std::mem::forget(upload);
    assert_eq!(files(&blobs.root).len(), 2);
    let again = Directory::open(&temp.path().join("blobs")).expect("opens");
    assert_eq!(files(&again.root), [again.path(id(1), 0)]);
    assert_eq!(get(&again, id(1), 0, 0, 99), b"whole");
}

#[test]
fn blobs_are_listed_by_their_first_byte() {
    let (temp, blobs) = opened();
    assert_eq!(blobs.ids(1).expect("listed"), []);
    put(&blobs, id(1), 0, b"whole");
    put(&blobs, id(1), 2, b"small");
    let mut last = [1; 16];
    last[15] = 9;
    put(&blobs, MediaId(last), 1, b"left over");
    put(&blobs, id(2), 0, b"other");
    let below = temp.path().join("blobs/01");
    fs::write(below.join("readme.txt"), "not a blob").expect("writes");
    assert_eq!(blobs.ids(1).expect("listed"), [id(1), MediaId(last)]);
    assert_eq!(blobs.ids(2).expect("listed"), [id(2)]);
}

#[test]
fn nobody_else_may_read_blobs() {
    let (_temp, blobs) = opened();
    put(&blobs, id(1), 0, b"secret");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let file = blobs.path(id(1), 0);
    assert_eq!(mode(&file), 0o600);
    for directory in [&*blobs.root, &blobs.root.join(INCOMING), file.parent().expect("a directory")] {
        assert_eq!(mode(directory), 0o700, "{}", directory.display());
    }
}
