use std::path::PathBuf;

use super::*;

fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::fs::read(folder.join(name)).unwrap()
}

const NAMES: [&str; 6] = [
    "progressive.jpg",
    "progressive-444.jpg",
    "progressive-422.jpg",
    "progressive-grey.jpg",
    "progressive-restart.jpg",
    "progressive-17x33.jpg",
];

fn run(bytes: &[u8]) -> Option<Decoded<'_>> {
    decode(bytes, 1 << 20, &mut Memory::default())
}

#[test]
fn progressive_files_are_decoded_here_unless_they_are_cut() {
    for name in NAMES {
        let bytes = golden(name);
        let decoded = run(&bytes).unwrap_or_else(|| panic!("{name}"));
        let pixels = u64::from(decoded.width) * u64::from(decoded.height);
        assert_eq!(decoded.rgb.len() as u64, 3 * pixels, "{name}");
        assert!(decode(&bytes, pixels - 1, &mut Memory::default()).is_none());
        for length in 0..bytes.len() {
            assert!(run(&bytes[..length]).is_none(), "{name} {length}");
        }
    }
    for name in ["420.jpg", "cmyk.jpg"] {
        assert!(run(&golden(name)).is_none(), "{name}");
    }
}

/// Where the markers of a kind are.
fn markers(bytes: &[u8], marker: u8) -> Vec<usize> {
    let pairs = bytes.windows(2).enumerate();
    pairs
        .filter(|(_, pair)| *pair == [0xFF, marker])
        .map(|(at, _)| at)
        .collect()
}

/// A scan that is missing, comes twice, or comes before those that it refines.
#[test]
fn scans_come_once_and_in_order() {
    let bytes = golden("progressive-grey.jpg");
    let scans = markers(&bytes, 0xDA);
    let tables = markers(&bytes, 0xC4);
    assert_eq!(scans.len(), 6);
    // The last scan, with the tables that stand before it.
    let start = *tables.iter().rfind(|&&at| at < scans[5]).unwrap();
    assert!(start > scans[4]);
    let (before, last) = bytes.split_at(start);
    let (last, end) = last.split_at(last.len() - 2);
    assert!(run(&[before, last, end].concat()).is_some());
    assert!(run(&[before, end].concat()).is_none());
    assert!(run(&[before, last, last, end].concat()).is_none());
    let second = *tables.iter().find(|&&at| at > scans[0]).unwrap();
    let (head, rest) = before.split_at(second);
    assert!(run(&[head, last, rest, end].concat()).is_none());
}

/// A header that claims more blocks than the file has bits is refused before memory is taken.
#[test]
fn short_files_claim_no_memory() {
    let mut bytes = golden("progressive.jpg");
    let frame = markers(&bytes, 0xC2)[0];
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x20, 0, 0x20, 0]);
    assert!(decode(&bytes, u64::MAX, &mut Memory::default()).is_none());
}

/// Bytes that are changed at random: a picture or none, but an end without a panic.
#[test]
fn damage_at_random_does_no_harm() {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % n
    };
    let mut memory = Memory::default();
    let (mut refused, mut taken) = (0, 0);
    for name in NAMES {
        let bytes = golden(name);
        let start = markers(&bytes, 0xDA)[0];
        for round in 0..1500 {
            let mut bent = bytes.clone();
            // Every other time only behind the first header, where more of it stays readable.
            let from = if round % 2 == 0 { 2 } else { start };
            for _ in 0..=below(3) {
                let at = from + below(bytes.len() - from);
                bent[at] = below(256) as u8;
            }
            if below(8) == 0 {
                let at = from + below(bytes.len() - from);
                bent.drain(at..(at + below(40)).min(bytes.len()));
            }
            match decode(&bent, 1 << 20, &mut memory) {
                Some(decoded) => {
                    let pixels = decoded.width as usize * decoded.height as usize;
                    assert_eq!(decoded.rgb.len(), 3 * pixels);
                    taken += 1;
                }
                None => refused += 1,
            }
        }
    }
    assert!(refused > 1000 && taken > 100, "{refused} {taken}");
}

/// The processor's best against code without vectors.
#[test]
fn the_bits_do_not_depend_on_the_processor() {
    for name in NAMES {
        let (bytes, mut memory) = (golden(name), Memory::default());
        let frame = read(&bytes, 1 << 20, &mut memory).unwrap();
        let plain = Picture {
            frame: &frame,
            memory: &mut memory,
        };
        let plain = plain.with_simd(pulp::Scalar::new());
        assert!(run(&bytes).unwrap().rgb == plain, "{name}");
    }
}
