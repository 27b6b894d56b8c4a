//! Activations against plain formulas in double precision: alone, in place and behind batch norm.

use candle_core::{Result, Tensor};
use graft_ops::{
    Activation, Tape, Then, activate, activate_in_place, add, batch_norm_eval_then,
    batch_norm_train_then, linear, reshape,
};

use crate::arrays::{Array, bits, values};
use crate::gradients::{affine, check};
use crate::plain;

pub(crate) const ALL: [Activation; 6] = [
    Activation::Relu,
    Activation::Relu6,
    Activation::Sigmoid,
    Activation::Hardsigmoid,
    Activation::Silu,
    Activation::Hardswish,
];

#[test]
fn alone_and_in_place() {
    for activation in ALL {
        check(
            &[Array::distinct(&[3, 4, 17], 1)],
            |tape, t| activate(tape, &t[0], activation),
            |a| plain::activate(&a[0], activation),
        );
        let inputs = [Array::normal(&[3, 5], 1), Array::normal(&[4, 5], 2)];
        check(
            &inputs,
            |tape, t| activate_in_place(tape, linear(tape, &t[0], &t[1], None)?, activation),
            |a| plain::activate(&plain::linear(&a[0], &a[1], None), activation),
        );
    }
}

#[test]
fn behind_batch_norm() {
    let mean = Array::normal(&[3], 4);
    let var = Array {
        dims: vec![3],
        values: vec![0.25, 1.5, 0.5],
    };
    let mut inputs = [
        Array::normal(&[2, 3, 5, 3], 1),
        Array::normal(&[3], 2),
        Array::normal(&[3], 3),
    ];
    // Far enough to reach all kinks.
    inputs[1].values.iter_mut().for_each(|w| *w *= 4.0);
    for activation in ALL {
        let then = Then::Activation(activation);
        check(
            &inputs,
            |tape, t| Ok(batch_norm_train_then(tape, &t[0], &affine(t), then)?.0),
            |a| {
                let y = plain::batch_norm_train(&a[0], &a[1], &a[2], 1e-3);
                plain::activate(&y, activation)
            },
        );
        check(
            &inputs,
            |tape, t| {
                // A fresh x, whose memory may be written over.
                let x = reshape(tape, &t[0], t[0].shape())?;
                let x = add(tape, &x, &x.zeros_like()?)?;
                let running = [&mean.tensor(), &var.tensor()];
                batch_norm_eval_then(tape, x, running, &affine(t), then)
            },
            |a| {
                let y = plain::batch_norm(&a[0], &mean.values, &var.values, &a[1], &a[2], 1e-3);
                plain::activate(&y, activation)
            },
        );
    }
}

/// Each value is computed for itself, wherever it stands.
#[test]
fn long_and_short_tensors_give_the_same_bits() -> Result<()> {
    let off = &Tape::disabled();
    let x = Array::normal(&[40_001], 1).tensor();
    for activation in ALL {
        let whole = activate(off, &x, activation)?;
        for first in [0, 5, 39_990] {
            let part = activate(off, &x.narrow(0, first, 11)?, activation)?;
            assert_eq!(bits(&part), bits(&whole.narrow(0, first, 11)?));
        }
        let in_place = activate_in_place(off, x.copy()?, activation)?;
        assert_eq!(bits(&in_place), bits(&whole), "{activation:?}");
    }
    Ok(())
}

/// The argument of a function whose gradient looks at it must survive; a variable is never written over.
#[test]
fn what_is_still_needed_is_not_overwritten() -> Result<()> {
    for activation in ALL {
        let x = Array::normal(&[4, 9], 1).var();
        let before = bits(&x);
        let y = activate_in_place(&Tape::disabled(), x.as_tensor().clone(), activation)?;
        assert_eq!(bits(&x), before);
        assert_ne!(bits(&y), before);
    }
    Ok(())
}

#[test]
fn values_at_the_ends() -> Result<()> {
    let ends = [f32::NEG_INFINITY, -1e30, 1e30, f32::INFINITY, f32::NAN];
    let x = Tensor::new(&ends, &candle_core::Device::Cpu)?;
    for activation in ALL {
        let y = values(&activate(&Tape::disabled(), &x, activation)?);
        let (low, high) = (y[1], y[2]);
        assert_eq!(low, 0.0, "{activation:?}");
        let expected = match activation {
            Activation::Relu | Activation::Silu => 1e30,
            // Multiplied by 6 and divided again.
            Activation::Hardswish => high.clamp(0.999_999e30, 1.000_001e30),
            Activation::Relu6 => 6.0,
            Activation::Sigmoid | Activation::Hardsigmoid => 1.0,
        };
        assert_eq!(high, expected, "{activation:?}");
        assert!(y[4].is_nan(), "{activation:?}");
        let whole = match activation {
            Activation::Relu | Activation::Silu | Activation::Hardswish => f32::INFINITY,
            _ => expected,
        };
        assert_eq!(y[3], whole, "{activation:?}");
    }
    Ok(())
}
