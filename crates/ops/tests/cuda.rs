//! Every operation on a CUDA device against the same on the CPU. Runs where `GRAFT_TEST_CUDA=1` is set or a device can be
//! opened, and says so where it does not.

#![cfg(feature = "cuda")]

use candle_core::{CudaDevice, Device, Error, Result, Tensor, Var};
use graft_ops::cuda::{Comparison, Options, copy, options, parity, record};
use graft_ops::{Tape, Weighing, cross_entropy, dropout, linear, weighted_cross_entropy};

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

#[test]
fn operations_agree_with_the_cpu() {
    let Some(device) = device() else {
        eprintln!("skipped: no CUDA device");
        return;
    };
    let all = parity(&device);
    for comparison in &all {
        println!("{comparison}");
    }
    let bad: Vec<_> = all.iter().filter(|found| !found.is_fine()).collect();
    assert!(bad.is_empty(), "{} of {}: {bad:#?}", bad.len(), all.len());
    for (numbers, deterministic) in [
        ("f32", true),
        ("tf32", true),
        ("bf16", true),
        ("f32", false),
    ] {
        let such =
            |found: &&Comparison| found.numbers == numbers && found.deterministic == deterministic;
        assert!(all.iter().filter(such).count() > 10, "{numbers}");
    }
    assert_eq!(options(), Options::default());
}

/// The loss of a layer with dropout behind it, and its gradient.
fn pass(x: &Tensor, weight: &Var, labels: &[u32], key: u64) -> Result<(Tensor, Tensor)> {
    let tape = Tape::recording();
    let y = linear(&tape, x, weight, None)?;
    let y = dropout(&tape, &y, 0.5, key)?;
    let weighing = Weighing {
        label_smoothing: 0.1,
        class_weights: Some(&[1.0, 0.3, 2.0, 0.7, 1.1]),
    };
    let loss = weighted_cross_entropy(&tape, &y, labels, &weighing)?;
    let mut gradients = tape.backward(&loss)?;
    let gradient = gradients.take(weight).expect("the loss depends on it");
    Ok((loss, gradient))
}

#[test]
fn a_recorded_pass_is_repeated_with_other_labels_and_keys() {
    let Some(device) = device() else {
        eprintln!("skipped: no CUDA device");
        return;
    };
    let values = |n: usize, scale: f32| (0..n).map(move |i| scale * (i as f32 - 7.0));
    let weight: Vec<f32> = values(5 * 6, 0.03).collect();
    let weight = Var::from_vec(weight, (5, 6), &device).unwrap();
    let x = Tensor::from_iter(values(4 * 6, 0.1), &device).unwrap();
    let x = x.reshape((4, 6)).unwrap();
    let (first, _) = pass(&x, &weight, &[0, 1, 2, 3], 17).unwrap();
    let loss = first.zeros_like().unwrap();
    let gradient = weight.as_tensor().zeros_like().unwrap();
    let work = || {
        let (found, slope) = pass(&x, &weight, &[0, 1, 2, 3], 17)?;
        copy(&loss, &found)?;
        copy(&gradient, &slope)
    };
    let (recording, keys) = record(&device, &[0, 1, 2, 3], work).unwrap();
    assert_eq!(keys, [17]);
    let number = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(number(&loss), [0.0], "recording computes nothing");
    let mut seen = Vec::new();
    for (labels, key) in [([0, 1, 2, 3], 17), ([4, 4, 0, 1], 17), ([4, 4, 0, 1], 99)] {
        recording.run(&labels, &[key]).unwrap();
        let (expected, slope) = pass(&x, &weight, &labels, key).unwrap();
        assert_eq!(number(&loss), number(&expected));
        assert_eq!(number(&gradient), number(&slope));
        seen.push(number(&loss));
    }
    assert!(seen[0] != seen[1] && seen[1] != seen[2]);
    let error = recording.run(&[0, 1, 2], &[17]).unwrap_err().to_string();
    assert!(error.contains("4 targets and 1 keys"), "{error}");
}

#[test]
fn what_cannot_be_repeated_is_not_recorded() {
    let Some(device) = device() else {
        eprintln!("skipped: no CUDA device");
        return;
    };
    let refused = |work: &dyn Fn() -> Result<()>| {
        let error: Error = record(&device, &[], work).unwrap_err();
        // The device goes on as if nothing had been.
        let one = Tensor::new(&[2f32, 3.0], &device).unwrap();
        assert_eq!(one.copy().unwrap().to_vec1::<f32>().unwrap(), [2.0, 3.0]);
        error.to_string()
    };
    let host = refused(&|| Tensor::new(&[1f32, 2.0], &device).map(drop));
    assert!(host.contains("copies from or to the host"), "{host}");
    let x = Tensor::new(&[1f32, 2.0], &device).unwrap();
    refused(&|| x.to_vec1::<f32>().map(drop));
    refused(&|| {
        // It is given back when nothing can be recorded any more.
        let y = x.copy()?;
        x.to_vec1::<f32>()?;
        drop(y);
        Ok(())
    });
    let logits = Tensor::zeros((2, 3), candle_core::DType::F32, &device).unwrap();
    let labels = refused(&|| cross_entropy(&Tape::disabled(), &logits, &[0, 1]).map(drop));
    assert!(labels.contains("different targets"), "{labels}");
    let kept = std::cell::RefCell::new(None);
    let memory = refused(&|| {
        *kept.borrow_mut() = Some(x.copy()?);
        Ok(())
    });
    assert!(memory.contains("gives it back 0 times"), "{memory}");
    std::mem::forget(kept);
    let own = refused(&|| Err(Error::Msg("its own".to_owned())));
    assert_eq!(own, "its own");
}
