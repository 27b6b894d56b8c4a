//! How much memory the process took, and how much there is.

use std::fs;

use graft_model::Summary;

use crate::failure::Failure;

const MIB: f64 = (1 << 20) as f64;

/// The most memory that the process has held so far, in MiB: `VmHWM` of Linux. `None` where the system does not tell.
pub(super) fn peak_mb() -> Option<f64> {
    kilobytes("/proc/self/status", "VmHWM:").map(|kilobytes| kilobytes as f64 * 1024.0 / MIB)
}

/// Refuses a batch that can't fit into the memory that is free, by the layers' outputs for one picture.
pub(super) fn check(one_picture: &Summary, batch: usize) -> Result<(), Failure> {
    let free = kilobytes("/proc/meminfo", "MemAvailable:").map(|kilobytes| 1024 * kilobytes);
    let needed = needed_bytes(one_picture, batch);
    match free {
        Some(free) if needed > free => Err(Failure::bad_input(format!(
            "a training step on {batch} pictures takes about {:.0} MiB, and {:.0} MiB are free",
            needed as f64 / MIB,
            free as f64 / MIB
        ))
        .hint("choose a smaller --batch-size or --size")),
        _ => Ok(()),
    }
}

/// About what a training step keeps until its backward pass. Rectifiers work in place and much of the rest is let go of, so
/// half of what the layers put out is enough to refuse what is hopeless and nothing else.
fn needed_bytes(one_picture: &Summary, batch: usize) -> u64 {
    let activations = one_picture.activation_bytes() / 2 + one_picture.input_bytes();
    let weights = one_picture.weight_bytes() + one_picture.training_bytes();
    (activations as u64).saturating_mul(batch as u64) + weights as u64
}

/// The number behind `key` in a file of Linux's `/proc`.
fn kilobytes(path: &str, key: &str) -> Option<u64> {
    find(&fs::read_to_string(path).ok()?, key)
}

fn find(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_behind_its_key() {
        let text = "Name:\tgraft\nVmPeak:\t  900 kB\nVmHWM:\t  512 kB\n";
        assert_eq!(find(text, "VmHWM:"), Some(512));
        assert_eq!(find(text, "VmSwap:"), None);
    }

    #[test]
    fn a_batch_that_fills_any_memory_is_refused() {
        let summary = Summary {
            kind: "convnet",
            input: vec![1, 3, 224, 224],
            layers: Vec::new(),
            buffers: 0,
        };
        assert_eq!(needed_bytes(&summary, 10), 10 * 4 * 3 * 224 * 224);
        assert!(check(&summary, 1).is_ok());
        if kilobytes("/proc/meminfo", "MemAvailable:").is_some() {
            let failure = check(&summary, usize::MAX >> 24).unwrap_err();
            assert!(failure.text.contains("--batch-size"), "{failure}");
        }
    }
}
