//! Random sizes against the plain loops.

use candle_core::Tensor;
use graft_ops::{
    Affine, Conv2d, Pool2d, Tape, Then, activate, adaptive_avg_pool2d, add, avg_pool2d,
    batch_norm_train, batch_norm_train_then, conv2d, cross_entropy, linear, max_pool2d, relu,
    softmax,
};
use proptest::prelude::*;

use crate::activations::ALL;
use crate::arrays::{Array, assert_close, bits, values};
use crate::plain;

/// The three gradients and the result of a convolution against plain loops.
fn check_conv(x: [usize; 4], w: [usize; 4], conv: &Conv2d) {
    let (x, w, b) = (
        Array::normal(&x, 1),
        Array::normal(&w, 2),
        Array::normal(&[w[0]], 3),
    );
    let (vx, vw, vb) = (x.var(), w.var(), b.var());
    let tape = Tape::recording();
    let y = conv2d(&tape, &vx, &vw, Some(&vb), conv).expect("the sizes fit");
    assert_close("y", &y, &plain::conv2d(&x, &w, Some(&b), conv), 3e-6);
    let dy = Array::normal(y.dims(), 4);
    let gradients = tape
        .backward_from(&y, &dy.tensor())
        .expect("it was recorded");
    let [dx, dw, db] = plain::conv2d_gradients(&x, &w, &dy, conv);
    let get = |t: &Tensor| gradients.get(t).expect("each input is a variable").clone();
    assert_close("dx", &get(&vx), &dx, 3e-6);
    assert_close("dw", &get(&vw), &dw, 3e-6);
    assert_close("db", &get(&vb), &db, 3e-6);
}

/// Sizes large enough that the columns are cut into several tiles, of rows and of pictures.
#[test]
fn conv2d_in_several_tiles() {
    let same = Conv2d {
        padding: (1, 1),
        ..Conv2d::default()
    };
    check_conv([2, 41, 37, 12], [8, 12, 3, 3], &same);
    check_conv([7, 9, 7, 40], [24, 40, 3, 3], &same);
    check_conv([5, 4, 5, 130], [70, 130, 3, 3], &same);
    check_conv(
        [5, 15, 14, 24],
        [16, 24, 3, 3],
        &Conv2d {
            stride: (2, 2),
            ..same
        },
    );
    check_conv([3, 20, 19, 70], [40, 70, 1, 1], &Conv2d::default());
    check_conv([9, 6, 6, 300], [20, 300, 1, 1], &Conv2d::default());
    check_conv(
        [1, 64, 61, 3],
        [8, 3, 7, 7],
        &Conv2d {
            stride: (2, 2),
            padding: (3, 3),
            ..same
        },
    );
    check_conv(
        [2, 30, 31, 16],
        [16, 1, 5, 3],
        &Conv2d {
            padding: (2, 1),
            groups: 16,
            ..same
        },
    );
    check_conv(
        [3, 12, 13, 32],
        [64, 8, 3, 3],
        &Conv2d { groups: 4, ..same },
    );
}

/// The three gradients and the result of a linear layer against plain loops, and each row alone against all.
fn check_linear(n: usize, i: usize, o: usize) {
    let (x, w, b) = (
        Array::normal(&[n, i], 1),
        Array::normal(&[o, i], 2),
        Array::normal(&[o], 3),
    );
    let (vx, vw, vb) = (x.var(), w.var(), b.var());
    let tape = Tape::recording();
    let y = linear(&tape, &vx, &vw, Some(&vb)).expect("the sizes fit");
    assert_close("y", &y, &plain::linear(&x, &w, Some(&b)), 3e-6);
    let dy = Array::normal(&[n, o], 4);
    let gradients = tape
        .backward_from(&y, &dy.tensor())
        .expect("it was recorded");
    let [dx, dw, db] = plain::linear_gradients(&x, &w, &dy);
    let get = |t: &Tensor| gradients.get(t).expect("each input is a variable").clone();
    assert_close("dx", &get(&vx), &dx, 3e-6);
    assert_close("dw", &get(&vw), &dw, 3e-6);
    assert_close("db", &get(&vb), &db, 3e-6);
    for row in [0, n - 1] {
        let alone = vx
            .narrow(0, row, 1)
            .and_then(|x| linear(&Tape::disabled(), &x.contiguous()?, &vw, Some(&vb)));
        let whole = y.narrow(0, row, 1).expect("there is such a row");
        assert_eq!(
            bits(&alone.expect("the sizes fit")),
            bits(&whole),
            "row {row} depends on the others"
        );
    }
}

/// Long rows, batches beyond a tile and beyond what is kept as factors.
#[test]
fn linear_of_large_sizes() {
    check_linear(4, 5000, 37);
    check_linear(33, 300, 200);
    check_linear(200, 350, 300);
    check_linear(32, 1500, 70);
    check_linear(7, 2049, 130);
}

/// Batch norm with what follows it against its parts, on maps that are cut into several pieces.
#[test]
fn batch_norm_in_several_pieces() -> candle_core::Result<()> {
    for dims in [
        [2, 40, 41, 13],
        [3, 31, 33, 64],
        [1, 150, 149, 3],
        [5, 9, 7, 200],
        [2, 300, 200, 1],
    ] {
        let c = dims[3];
        let (x, z) = (Array::normal(&dims, 1).var(), Array::normal(&dims, 2).var());
        let (w, b) = (Array::normal(&[c], 3).var(), Array::normal(&[c], 4).var());
        let affine = Affine {
            weight: &w,
            bias: &b,
            eps: 1e-5,
        };
        let pool = Pool2d {
            kernel: (3, 3),
            stride: (2, 2),
            padding: (1, 1),
            ceil_mode: false,
        };
        let others = ALL.map(Then::Activation);
        let all = [Then::Relu, Then::AddRelu(&z), Then::ReluMaxPool(&pool)];
        for then in all.into_iter().chain(others) {
            let tape = Tape::recording();
            let (y, found) = batch_norm_train_then(&tape, &x, &affine, then)?;
            let dy = Array::normal(y.dims(), 5).tensor();
            let together = tape.backward_from(&y, &dy)?;
            let tape = Tape::recording();
            let (parts, expected) = batch_norm_train(&tape, &x, &w, &b, 1e-5)?;
            let parts = match then {
                Then::AddRelu(z) => relu(&tape, &add(&tape, &parts, z)?)?,
                Then::ReluMaxPool(pool) => max_pool2d(&tape, &relu(&tape, &parts)?, pool)?,
                Then::Activation(activation) => activate(&tape, &parts, activation)?,
                Then::Relu | Then::Nothing => relu(&tape, &parts)?,
            };
            let apart = tape.backward_from(&parts, &dy)?;
            assert!(bits(&y) == bits(&parts));
            assert_eq!(bits(&found.mean), bits(&expected.mean));
            for var in [&x, &w, &b, &z] {
                let (Some(found), Some(expected)) = (together.get(var), apart.get(var)) else {
                    assert!(together.get(var).is_none() && apart.get(var).is_none());
                    continue;
                };
                // With a pool the sums are formed in other pieces.
                let tolerance = if matches!(then, Then::ReluMaxPool(_)) {
                    1e-6
                } else {
                    0.0
                };
                let expected = Array {
                    dims: expected.dims().to_vec(),
                    values: values(expected).into_iter().map(f64::from).collect(),
                };
                assert_close("a gradient", found, &expected, tolerance);
            }
        }
        let (mean, var) = plain::statistics(&Array::normal(&dims, 1));
        let (_, found) = batch_norm_train(&Tape::disabled(), &x, &w, &b, 1e-5)?;
        assert_close(
            "mean",
            &found.mean,
            &Array {
                dims: vec![c],
                values: mean,
            },
            1e-7,
        );
        assert_close(
            "var",
            &found.var,
            &Array {
                dims: vec![c],
                values: var,
            },
            5e-7,
        );
    }
    Ok(())
}

fn convolutions() -> impl Strategy<Value = ([usize; 4], [usize; 4], Conv2d)> {
    let channels = (1usize..4, 1usize..4, 1usize..4);
    let pair = |range: std::ops::Range<usize>| (range.clone(), range);
    (
        1usize..4,
        channels,
        pair(1..10),
        pair(1..4),
        pair(1..4),
        pair(0..4),
        pair(1..3),
    )
        .prop_filter_map(
            "the kernel has to fit",
            |(n, (groups, c, o), size, kernel, stride, padding, dilation)| {
                let fits = |i: usize, k: usize, p: usize, d: usize| i + 2 * p > d * (k - 1);
                let ok = fits(size.0, kernel.0, padding.0, dilation.0)
                    && fits(size.1, kernel.1, padding.1, dilation.1);
                ok.then_some((
                    [n, size.0, size.1, groups * c],
                    [groups * o, c, kernel.0, kernel.1],
                    Conv2d {
                        stride,
                        padding,
                        dilation,
                        groups,
                    },
                ))
            },
        )
}

fn pools() -> impl Strategy<Value = ([usize; 4], Pool2d)> {
    let pair = |range: std::ops::Range<usize>| (range.clone(), range);
    (
        pair(1..4),
        pair(1..9),
        pair(1..5),
        pair(1..5),
        pair(0..3),
        any::<bool>(),
    )
        .prop_filter_map(
            "the windows have to fit",
            |((n, c), size, kernel, stride, padding, ceil_mode)| {
                let fits = |i: usize, k: usize, s: usize, p: usize| {
                    p <= k / 2 && i + 2 * p + if ceil_mode { s - 1 } else { 0 } >= k
                };
                (fits(size.0, kernel.0, stride.0, padding.0)
                    && fits(size.1, kernel.1, stride.1, padding.1))
                .then_some((
                    [n, size.0, size.1, c],
                    Pool2d {
                        kernel,
                        stride,
                        padding,
                        ceil_mode,
                    },
                ))
            },
        )
}

/// The gradient of a pool is linear in dy, so it has to be the adjoint: Σ dy·pool(x') = Σ dx·x' where pool is linear.
fn inner(a: &Tensor, b: &Array) -> f64 {
    let a = crate::arrays::values(a);
    a.iter()
        .zip(&b.values)
        .map(|(&a, b)| f64::from(a) * b)
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn conv2d_of_any_size((x, w, conv) in convolutions()) {
        check_conv(x, w, &conv);
    }

    #[test]
    fn max_pool2d_of_any_size((x, pool) in pools()) {
        let x = Array::distinct(&x, 1);
        let var = x.var();
        let tape = Tape::recording();
        let y = max_pool2d(&tape, &var, &pool).expect("the sizes fit");
        let expected = plain::max_pool2d(&x, &pool);
        assert_close("y", &y, &expected, 0.0);
        // Each output's gradient arrives where its value came from: Σ dx·x = Σ dy·y.
        let dy = Array::normal(y.dims(), 2);
        let dx = tape.backward_from(&y, &dy.tensor()).expect("recorded").take(&var).expect("a variable");
        let total: f64 = dy.values.iter().zip(&expected.values).map(|(d, y)| d * y).sum();
        prop_assert!((inner(&dx, &x) - total).abs() < 1e-4 * (1.0 + total.abs()));
    }

    #[test]
    fn avg_pool2d_of_any_size((x, pool) in pools(), count: bool) {
        let x = Array::normal(&x, 1);
        let var = x.var();
        let tape = Tape::recording();
        let y = avg_pool2d(&tape, &var, &pool, count).expect("the sizes fit");
        let expected = plain::avg_pool2d(&x, &pool, count);
        assert_close("y", &y, &expected, 1e-6);
        let dy = Array::normal(y.dims(), 2);
        let dx = tape.backward_from(&y, &dy.tensor()).expect("recorded").take(&var).expect("a variable");
        // Linear: Σ dx·z = Σ dy·pool(z) for any z.
        let z = Array::normal(&x.dims, 3);
        let total: f64 = dy.values.iter().zip(&plain::avg_pool2d(&z, &pool, count).values).map(|(d, y)| d * y).sum();
        prop_assert!((inner(&dx, &z) - total).abs() < 1e-4 * (1.0 + total.abs()));
    }

    #[test]
    fn adaptive_avg_pool2d_of_any_size(n in 1usize..3, c in 1usize..4, h in 1usize..20, w in 1usize..9, oh in 1usize..20, ow in 1usize..9) {
        let x = Array::normal(&[n, h, w, c], 1);
        let var = x.var();
        let tape = Tape::recording();
        let y = adaptive_avg_pool2d(&tape, &var, (oh, ow)).expect("the sizes fit");
        assert_close("y", &y, &plain::adaptive_avg_pool2d(&x, (oh, ow)), 1e-6);
        let dy = Array::normal(y.dims(), 2);
        let dx = tape.backward_from(&y, &dy.tensor()).expect("recorded").take(&var).expect("a variable");
        // Linear, as other averages.
        let z = Array::normal(&x.dims, 3);
        let total: f64 = dy.values.iter().zip(&plain::adaptive_avg_pool2d(&z, (oh, ow)).values).map(|(d, y)| d * y).sum();
        prop_assert!((inner(&dx, &z) - total).abs() < 1e-4 * (1.0 + total.abs()));
    }

    #[test]
    fn linear_of_any_size(n in 1usize..12, i in 1usize..80, o in 1usize..120) {
        check_linear(n, i, o);
    }

    #[test]
    fn batch_norm_of_any_size(n in 1usize..4, c in 1usize..5, h in 1usize..6, w in 2usize..40, shift in -100.0..100.0) {
        let mut x = Array::normal(&[n, h, w, c], 1);
        x.values.iter_mut().for_each(|v| *v = f64::from((*v + shift) as f32));
        let (g, b) = (Array::normal(&[c], 2), Array::normal(&[c], 3));
        let (y, found) = batch_norm_train(&Tape::disabled(), &x.tensor(), &g.tensor(), &b.tensor(), 1e-5).expect("enough values");
        assert_close("y", &y, &plain::batch_norm_train(&x, &g, &b, 1e-5), 3e-5);
        let (mean, var) = plain::statistics(&x);
        assert_close("mean", &found.mean, &Array { dims: vec![c], values: mean }, 1e-6);
        assert_close("var", &found.var, &Array { dims: vec![c], values: var }, 1e-6);
    }

    #[test]
    fn losses_of_any_size(n in 1usize..6, k in 1usize..9, scale in 0.1..2000.0) {
        let mut x = Array::normal(&[n, k], 1);
        x.values.iter_mut().for_each(|v| *v = f64::from((*v * scale) as f32));
        let labels: Vec<u32> = (0..n).map(|i| (i % k) as u32).collect();
        let loss = cross_entropy(&Tape::disabled(), &x.tensor(), &labels).expect("labels are in range");
        let p = plain::softmax(&x);
        prop_assert!(loss.to_scalar::<f32>().is_ok_and(f32::is_finite));
        assert_close("softmax", &softmax(&x.tensor()).expect("(n, k)"), &p, 1e-6);
        if scale < 50.0 {
            assert_close("loss", &loss, &plain::cross_entropy(&x, &labels), 1e-6);
        }
    }
}
