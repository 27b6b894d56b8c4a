//! Every operation on a CUDA device against the same on the CPU. Runs where `GRAFT_TEST_CUDA=1` is set or a device can be
//! opened, and says so where it does not.

#![cfg(feature = "cuda")]

use candle_core::{CudaDevice, Device};
use graft_ops::cuda::{Options, parity, set_options};

/// The first device; none where there is none and none is demanded.
fn device() -> Option<Device> {
    let demanded = std::env::var_os("GRAFT_TEST_CUDA").is_some_and(|value| value == "1");
    match CudaDevice::new_with_stream(0) {
        Ok(device) => {
            // SAFETY: all its tensors live on its one stream and on this thread.
            unsafe { device.disable_event_tracking() };
            Some(Device::Cuda(device))
        }
        Err(error) => {
            assert!(!demanded, "no CUDA device: {error}");
            None
        }
    }
}

/// Compares everything under these options; errors within `scale` times what is fine pass.
fn compare(device: &Device, options: Options, scale: f64) {
    set_options(options);
    let all = parity(device).expect("every operation has a CUDA side");
    for comparison in &all {
        println!("{comparison}");
    }
    let bad: Vec<_> = all
        .iter()
        .filter(|comparison| {
            let repeatable = comparison.repeatable || !options.deterministic;
            !(repeatable && comparison.error() <= scale * comparison.tolerance())
        })
        .collect();
    assert!(
        bad.is_empty(),
        "{} of {} under {options:?}: {bad:#?}",
        bad.len(),
        all.len()
    );
}

#[test]
fn operations_agree_with_the_cpu() {
    let Some(device) = device() else {
        eprintln!("skipped: no CUDA device");
        return;
    };
    let exact = Options::default();
    compare(&device, exact, 1.0);
    let fastest = Options {
        deterministic: false,
        ..exact
    };
    compare(&device, fastest, 1.0);
    // TF32 keeps ten binary digits of each factor.
    let tf32 = Options {
        tf32: true,
        ..exact
    };
    compare(&device, tf32, 20.0);
}
