//! Files on their way into a bucket that the disk does not give: the others go on, and they follow when the disk is well again.

use super::*;

const STUCK: &str = "lynk_media_stuck_files";

/// Puts something in the place of a path until it is mended.
struct Broken {
    path: std::path::PathBuf,
    aside: std::path::PathBuf,
}

impl Broken {
    fn new(path: std::path::PathBuf, aside: std::path::PathBuf, instead: impl Fn(&Path)) -> Self {
        std::fs::rename(&path, &aside).expect("ours");
        instead(&path);
        Self { path, aside }
    }

    fn mend(self) {
        if self.path.is_dir() {
            std::fs::remove_dir(&self.path).expect("empty");
        } else {
            std::fs::remove_file(&self.path).expect("ours");
        }
        std::fs::rename(&self.aside, &self.path).expect("ours");
    }
}

#[test]
fn a_file_that_the_disk_does_not_give_holds_up_no_other() {
    let Some((outside, _turn)) = alone("a_file_that_the_disk_does_not_give_holds_up_no_other") else {
        return;
    };
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let server = start(&data, &[]);
    let mut owner = Owner::new(&server);
    // Until their first bytes differ, so that each has a directory of its own.
    let mut firsts = std::collections::BTreeMap::new();
    while firsts.len() < 4 {
        let media = owner.put(10_000 + firsts.len());
        let hex: String = media.chars().filter(|c| *c != '-').collect();
        firsts.entry(hex[..2].to_owned()).or_insert(hex);
    }
    owner.all_there();
    assert!(server.stop().success());
    let count = owner.files.len();
    let blobs = data.join("blobs");
    // In the order in which they are carried, the two that come first: one file cannot be read, whoever asks, and one directory not be listed.
    let hexes: Vec<String> = firsts.into_values().collect();
    let file = blobs.join(&hexes[0][..2]).join(&hexes[0][2..]);
    let directory = blobs.join(&hexes[1][..2]);
    let below = files_below(&directory);
    let unread =
        Broken::new(file, place.path().join("file"), |path| std::fs::create_dir(path).expect("ours"));
    let unlisted = Broken::new(directory, place.path().join("directory"), |path| {
        std::fs::write(path, "").expect("ours")
    });

    let name = name();
    let options = outside.files(&name);
    let server = start(&data, &options);
    let carried = (count - 1 - below) as f64;
    server.wait_metric(CARRIED, carried);
    server.wait_metric(STUCK, 2.0);
    let told = server.wait_logged("media_not_carried");
    assert!(told["detail"].as_str().is_some_and(|detail| detail.starts_with(&hexes[0][..2])), "{told}");
    let objects = || files_below(&outside.objects_of(&name));
    wait_until("not all others are there", || objects() == count - 1 - below + 1);
    assert_eq!(server.metric("lynk_media_degraded"), 1.0);
    wait_ready(&server, "ok");
    assert_eq!(server.metric(CARRIED), carried, "the two wait, and the bucket is not blamed");

    unread.mend();
    unlisted.mend();
    server.wait_metric(CARRIED, count as f64);
    wait_until("the disk does not become well", || server.metric(STUCK) == 0.0);
    server.wait_logged("media_carried_again");
    owner.at(&server);
    owner.all_there();
    assert_eq!(objects(), count + 1, "all, and the name of the server");
    assert!(server.stop().success());
}
