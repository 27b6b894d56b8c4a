//! Maps times numbers, and means over equal parts of maps, against plain loops in double precision.

use candle_core::{DType, Device, Result, Tensor, Var};
use graft_ops::{Pool2d, max_pool2d};
use graft_ops::{
    Tape, activate, adaptive_avg_pool2d, add_scaled, avg_pool2d, global_avg_pool,
    mean_squared_error, scale_channels,
};

use crate::activations::ALL;
use crate::arrays::{Array, assert_close, bits, values};
use crate::errors::{refused, t};
use crate::gradients::check;
use crate::plain;

#[test]
fn maps_times_numbers() {
    for dims in [[2, 3, 5, 4], [2, 1, 1, 3], [3, 4, 1, 17]] {
        let inputs = [
            Array::normal(&dims, 1),
            Array::normal(&[dims[0], dims[3]], 2),
        ];
        check(
            &inputs,
            |tape, t| scale_channels(tape, &t[0], &t[1]),
            |a| plain::scale_channels(&a[0], &a[1]),
        );
    }
}

#[test]
fn a_number_times_another_is_added() {
    for dims in [vec![1], vec![3, 5], vec![2, 3, 4, 5]] {
        let inputs = [Array::normal(&dims, 1), Array::normal(&dims, 2)];
        check(
            &inputs,
            |tape, t| add_scaled(tape, &t[0], &t[1], 0.3),
            |a| {
                let mut sum = a[0].clone();
                let pairs = sum.values.iter_mut().zip(&a[1].values);
                pairs.for_each(|(sum, b)| *sum += f64::from(0.3f32) * b);
                sum
            },
        );
    }
    let error = add_scaled(&Tape::disabled(), &t(&[2, 3]), &t(&[3, 2]), 1.0);
    refused(error, &["[2, 3] and [3, 2] differ"]);
}

/// As `torch.nn.functional.mse_loss`, with 2 arriving from above in the backward pass.
#[test]
fn squared_differences_are_averaged() -> Result<()> {
    let outputs = Var::from_vec(vec![0.5f32, -1.0, 3.0], (3, 1), &Device::Cpu)?;
    let tape = Tape::recording();
    let loss = mean_squared_error(&tape, &outputs, &[1.0, -1.5, 2.0])?;
    assert_eq!(loss.to_scalar::<f32>()?, 0.5);
    let gradients = tape.backward_from(&loss, &Tensor::new(2f32, &Device::Cpu)?)?;
    let gradient = gradients.get(&outputs).expect("a variable");
    let expected = [-2.0 / 3.0, 2.0 / 3.0, 4.0 / 3.0f32];
    assert_eq!(gradient.flatten_all()?.to_vec1::<f32>()?, expected);
    let tape = Tape::disabled();
    let refused_with = |dims: &[usize], targets: &[f32], message: &str| {
        refused(mean_squared_error(&tape, &t(dims), targets), &[message]);
    };
    refused_with(&[3, 1], &[1.0, 2.0], "2 targets");
    refused_with(&[3, 2], &[1.0, 2.0, 3.0], "(3, 2)");
    refused_with(&[0, 1], &[], "empty batch");
    Ok(())
}

/// Pictures of several pieces of work, and pixels of more than one.
#[test]
fn large_maps_times_numbers() -> Result<()> {
    for dims in [
        [3, 40, 41, 24],
        [1, 90, 70, 7],
        [1, 50, 3, 1],
        [2, 2, 3, 20_000],
    ] {
        let (n, c) = (dims[0], dims[3]);
        let (x, gate) = (Array::normal(&dims, 1), Array::normal(&[n, c], 2));
        let (vx, vg) = (x.var(), gate.var());
        let tape = Tape::recording();
        let y = scale_channels(&tape, &vx, &vg)?;
        assert_close("y", &y, &plain::scale_channels(&x, &gate), 1e-7);
        let dy = Array::normal(&dims, 3);
        let gradients = tape.backward_from(&y, &dy.tensor())?;
        let mut products = dy.clone();
        let pairs = products.values.iter_mut().zip(&x.values);
        pairs.for_each(|(product, x)| *product *= x);
        let mut sums = plain::global_avg_pool(&products);
        let pixels = (dims[1] * dims[2]) as f64;
        sums.values.iter_mut().for_each(|sum| *sum *= pixels);
        let dx = plain::scale_channels(&dy, &gate);
        assert_close("dx", gradients.get(&vx).expect("a variable"), &dx, 1e-7);
        assert_close(
            "dgate",
            gradients.get(&vg).expect("a variable"),
            &sums,
            1e-6,
        );
    }
    Ok(())
}

#[test]
fn means_over_equal_parts() {
    for (dims, size) in [
        ([2, 5, 6, 2], (3, 4)),
        ([1, 3, 2, 5], (7, 5)),
        ([2, 7, 1, 3], (1, 3)),
        ([1, 4, 4, 17], (2, 2)),
        ([1, 13, 9, 2], (6, 6)),
    ] {
        check(
            &[Array::normal(&dims, 1)],
            |tape, t| adaptive_avg_pool2d(tape, &t[0], size),
            |a| plain::adaptive_avg_pool2d(&a[0], size),
        );
    }
}

/// Where the parts have one size, the pool is one with windows of that size; one part is the whole.
#[test]
fn equal_parts_are_windows() -> Result<()> {
    let off = &Tape::disabled();
    let x = Array::normal(&[3, 12, 8, 20], 1).tensor();
    let found = adaptive_avg_pool2d(off, &x, (3, 4))?;
    let pool = Pool2d {
        kernel: (4, 2),
        stride: (4, 2),
        ..Pool2d::square(1)
    };
    assert_eq!(bits(&found), bits(&avg_pool2d(off, &x, &pool, true)?));
    assert_eq!(bits(&adaptive_avg_pool2d(off, &x, (12, 8))?), bits(&x));
    let whole = global_avg_pool(off, &x)?;
    let expected = Array {
        dims: vec![3, 1, 1, 20],
        values: values(&whole).into_iter().map(f64::from).collect(),
    };
    assert_close(
        "one part",
        &adaptive_avg_pool2d(off, &x, (1, 1))?,
        &expected,
        1e-6,
    );
    Ok(())
}

#[test]
fn what_does_not_fit() -> Result<()> {
    let tape = &Tape::recording();
    refused(
        scale_channels(tape, &t(&[2, 3, 4, 5]), &t(&[2, 4])),
        &["scale_channels", "gate", "[2, 5]", "[2, 4]"],
    );
    refused(
        scale_channels(tape, &t(&[2, 3]), &t(&[2, 3])),
        &["scale_channels", "(n, h, w, c)", "[2, 3]"],
    );
    for (dims, size) in [([1, 3, 3, 2], (0, 1)), ([1, 0, 3, 2], (1, 1))] {
        refused(
            adaptive_avg_pool2d(tape, &t(&dims), size),
            &["adaptive_avg_pool2d", "can't be divided"],
        );
    }
    refused(
        adaptive_avg_pool2d(tape, &t(&[3, 3, 2]), (1, 1)),
        &["adaptive_avg_pool2d", "(n, h, w, c)"],
    );
    let doubles = t(&[3]).to_dtype(DType::F64)?;
    for activation in ALL {
        refused(activate(tape, &doubles, activation), &["f32", "F64"]);
    }
    Ok(())
}

#[test]
fn empty_batches_and_nan() -> Result<()> {
    let (x, gate) = (
        Array::normal(&[0, 3, 4, 5], 1).var(),
        Array::normal(&[0, 5], 1).var(),
    );
    let tape = Tape::recording();
    let y = adaptive_avg_pool2d(&tape, &scale_channels(&tape, &x, &gate)?, (2, 7))?;
    assert_eq!(y.dims(), [0, 2, 7, 5]);
    let gradients = tape.backward_from(&y, &y.zeros_like()?)?;
    for var in [&x, &gate] {
        assert_eq!(gradients.get(var).expect("a variable").dims(), var.dims());
    }
    let mut x = Array::normal(&[1, 4, 4, 1], 1);
    x.values[5] = f64::NAN;
    let (x, off) = (x.tensor(), &Tape::disabled());
    let has_nan = |t: &Tensor| values(t).iter().any(|v| v.is_nan());
    assert!(has_nan(&scale_channels(off, &x, &t(&[1, 1]))?));
    assert!(has_nan(&adaptive_avg_pool2d(off, &x, (3, 3))?));
    Ok(())
}

/// All results and gradients of what this file and activations are about.
fn all() -> Result<Vec<Tensor>> {
    let (x, gate) = (
        Array::normal(&[3, 45, 47, 24], 1).var(),
        Array::normal(&[3, 24], 2).var(),
    );
    let tape = Tape::recording();
    let mut y = scale_channels(&tape, &x, &gate)?;
    let mut found = Vec::new();
    for activation in ALL {
        y = activate(&tape, &y, activation)?;
        found.push(y.clone());
    }
    let parts = adaptive_avg_pool2d(&tape, &y, (20, 30))?;
    let y = max_pool2d(&tape, &parts, &Pool2d::square(3))?;
    let gradients = tape.backward_from(&y, &Array::normal(y.dims(), 3).tensor())?;
    for var in [&x, &gate] {
        found.push(gradients.get(var).expect("a variable").clone());
    }
    found.extend([parts, y]);
    Ok(found)
}

#[test]
fn the_same_bits_with_one_two_and_three_threads() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads can be started");
        let tensors = pool.install(all).expect("the shapes fit");
        tensors.iter().map(bits).collect::<Vec<_>>()
    };
    let one = run(1);
    for threads in [2, 3] {
        assert!(one == run(threads), "{threads} threads");
    }
}
