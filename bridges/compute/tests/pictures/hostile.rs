//! Files that were changed at random places, by a seed: an error or a picture, never a panic, never more than was given.

use lynk_compute::{MediaType, sniff};

use crate::files;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it fits")
    }
}

fn change(file: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        if file.is_empty() {
            return;
        }
        let at = random.below(file.len());
        match random.below(5) {
            0 => file[at] = u8::try_from(random.below(256)).expect("it fits"),
            1 => file[at] = [0, 0xff, 0x7f, 0x80][random.below(4)],
            2 => file.truncate(at),
            3 => {
                let part = file[at..(at + 16).min(file.len())].to_vec();
                file.splice(at..at, part);
            }
            _ => drop(file.drain(at..(at + 8).min(file.len()))),
        }
    }
}

#[test]
fn changed_files_are_refused_or_copied_and_never_grow() {
    let all = files::all();
    let mut random = Random(20_261_127);
    let (mut good, mut bad) = (0, 0);
    for round in 0..20_000 {
        let (kind, file) = &all[round % all.len()];
        let mut file = file.clone();
        change(&mut file, &mut random);
        let _ = sniff(&file);
        match files::strip(*kind, &file) {
            Ok((clean, stripped)) => {
                good += 1;
                assert!(clean.len() <= file.len() + 64, "{kind:?} in round {round}");
                let (again, same) = files::strip(*kind, &clean).expect("what was copied is whole");
                assert_eq!((again, same), (clean, stripped), "{kind:?} in round {round}");
            }
            Err(_) => bad += 1,
        }
    }
    assert!(good > 1_000 && bad > 1_000, "{good} good, {bad} bad");
}

#[test]
fn a_file_of_one_kind_is_none_of_another() {
    for (kind, file) in files::all() {
        for other in [MediaType::Jpeg, MediaType::Png, MediaType::Gif, MediaType::Webp] {
            assert_eq!(files::strip(other, &file).is_ok(), other == kind);
        }
    }
}

/// Where fuzzing begins: with a first byte that chooses the kind. `LYNK_UPDATE_DOCS=1` writes them anew.
#[test]
fn the_seeds_of_fuzzing_are_pictures_with_descriptions() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/pictures");
    for (kind, (of, file)) in (0_u8..).zip([
        (MediaType::Jpeg, files::jpeg(16, 8, 6)),
        (MediaType::Png, files::png(&files::glass(16, 8), 6)),
        (MediaType::Gif, files::gif(16, 8, 2)),
        (MediaType::Webp, files::webp(&files::glass(16, 8), 6)),
    ]) {
        let path = directory.join(of.extension());
        if std::env::var_os("LYNK_UPDATE_DOCS").is_some() {
            std::fs::write(&path, [&[kind], file.as_slice()].concat()).expect("writes");
        }
        let seed = std::fs::read(&path).expect("a seed");
        assert_eq!(seed[0], kind);
        assert!(files::strip(of, &seed[1..]).is_ok() && files::holds(&seed, files::SECRET), "{of:?}");
    }
}
