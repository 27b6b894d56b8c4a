//! What the tape promises: gradients only where they are needed, sums where a tensor is used twice, errors where there is
//! nothing to do.

use candle_core::{Device, Result, Tensor, Var};
use graft_ops::{
    Conv2d, Gradients, SgdStep, Tape, add, cat, conv2d, cross_entropy, linear, relu, reshape,
    sgd_step, sgd_step_along,
};

use crate::arrays::{Array, assert_close, bits, values};

#[test]
fn a_gradient_is_needed_by_variables_and_what_depends_on_them() -> Result<()> {
    let (x, w) = (
        Array::normal(&[2, 3], 1).tensor(),
        Array::normal(&[4, 3], 2).var(),
    );
    let tape = Tape::recording();
    let fixed = relu(&tape, &x)?;
    let y = linear(&tape, &fixed, &w, None)?;
    assert!(tape.is_recording() && tape.needs_grad(&w) && tape.needs_grad(&y));
    assert!(!tape.needs_grad(&x) && !tape.needs_grad(&fixed) && !tape.needs_grad(&w.detach()));

    let off = Tape::disabled();
    let y = linear(&off, &fixed, &w, None)?;
    assert!(!off.is_recording() && !off.needs_grad(&w) && !off.needs_grad(&y));
    Ok(())
}

#[test]
fn frozen_layers_get_no_gradient_and_pass_none_on() -> Result<()> {
    let x = Array::normal(&[2, 5, 5, 3], 1).tensor();
    let (frozen, head) = (
        Array::normal(&[4, 3, 3, 3], 2).tensor(),
        Array::normal(&[2, 36], 3).var(),
    );
    let tape = Tape::recording();
    let y = conv2d(&tape, &x, &frozen, None, &Conv2d::default())?;
    let y = linear(&tape, &reshape(&tape, &y, (2, 36))?, &head, None)?;
    let beside = cross_entropy(&Tape::disabled(), &y, &[0, 1])?;
    assert!(
        tape.backward(&beside).is_err(),
        "the loss was computed beside the tape"
    );

    let tape = Tape::recording();
    let y = conv2d(&tape, &x, &frozen, None, &Conv2d::default())?;
    assert!(!tape.needs_grad(&y));
    let y = linear(&tape, &reshape(&tape, &y, (2, 36))?, &head, None)?;
    let loss = cross_entropy(&tape, &y, &[0, 1])?;
    let gradients = tape.backward(&loss)?;
    assert!(gradients.get(&head).is_some());
    assert!(
        gradients.get(&x).is_none()
            && gradients.get(&frozen).is_none()
            && gradients.get(&y).is_none()
    );
    Ok(())
}

/// All ways in which two gradients can meet: both fresh, one or both shared by the two inputs of a sum.
#[test]
fn gradients_of_a_tensor_used_again_are_added_up() -> Result<()> {
    let x = Array::distinct(&[2, 3], 1);
    let var = x.var();
    let tape = Tape::recording();
    let a = relu(&tape, &var)?;
    let b = add(&tape, &a, &var)?;
    let c = add(&tape, &b, &b)?;
    let d = add(&tape, &c, &a)?;
    let e = cat(&tape, &[&d, &b, &var], 1)?;
    let dy = Array {
        dims: vec![2, 9],
        values: vec![1.0; 18],
    };
    let gradients = tape.backward_from(&e, &dy.tensor())?;
    // e sums to 2(a + x) + a + (a + x) + x = 4a + 4x.
    let mut expected = x.clone();
    expected
        .values
        .iter_mut()
        .for_each(|v| *v = if *v > 0.0 { 8.0 } else { 4.0 });
    assert_close(
        "dx",
        gradients.get(&var).expect("a variable"),
        &expected,
        0.0,
    );
    Ok(())
}

#[test]
fn the_caller_s_gradient_and_activations_are_not_overwritten() -> Result<()> {
    let x = Array::distinct(&[2, 3], 1).var();
    let tape = Tape::recording();
    let y = relu(&tape, &x)?;
    let before = values(&y);
    let dy = Tensor::ones((2, 3), candle_core::DType::F32, &Device::Cpu)?;
    let mut gradients = tape.backward_from(&y, &dy)?;
    assert_eq!(values(&dy), [1.0; 6]);
    assert_eq!(values(&y), before);
    assert!(gradients.take(&x).is_some() && gradients.take(&x).is_none());
    Ok(())
}

#[test]
fn a_concatenation_of_one_tensor_is_differentiable() -> Result<()> {
    let x = Array::normal(&[2, 3], 1).var();
    let tape = Tape::recording();
    let y = cat(&tape, &[&x], 1)?;
    let gradients = tape.backward_from(&y, &Array::normal(&[2, 3], 2).tensor())?;
    assert_close(
        "dx",
        gradients.get(&x).expect("a variable"),
        &Array::normal(&[2, 3], 2),
        0.0,
    );
    Ok(())
}

/// The gradient of a wide linear layer is kept as factors; what comes out is the same either way.
#[test]
fn steps_along_a_gradient_that_is_not_written_out() -> Result<()> {
    let (x, start) = (
        Array::normal(&[3, 700], 1).tensor(),
        Array::normal(&[90, 700], 2),
    );
    let dy = Array::normal(&[3, 90], 3).tensor();
    let step = SgdStep {
        lr: 0.1,
        momentum: 0.9,
        weight_decay: 0.01,
        ..SgdStep::default()
    };
    let gradients = |w: &Var| -> Result<Gradients> {
        let tape = Tape::recording();
        let y = linear(&tape, &x, w, None)?;
        tape.backward_from(&y, &dy)
    };
    let (along, velocity) = (start.var(), Array::normal(&[90, 700], 4).var());
    assert!(sgd_step_along(
        &gradients(&along)?,
        &along,
        &velocity,
        &step
    )?);
    let (with, other) = (start.var(), Array::normal(&[90, 700], 4).var());
    let mut of_with = gradients(&with)?;
    let gradient = of_with.take(&with).expect("a variable");
    sgd_step(&with, &gradient, &other, &step)?;
    assert_eq!(bits(&along), bits(&with));
    assert_eq!(bits(&velocity), bits(&other));
    assert!(of_with.get(&with).is_none() && !sgd_step_along(&of_with, &with, &other, &step)?);
    assert_eq!(
        bits(&along),
        bits(&with),
        "without a gradient nothing is changed"
    );

    // Used twice, it is a sum.
    let w = start.var();
    let tape = Tape::recording();
    let (y, z) = (linear(&tape, &x, &w, None)?, linear(&tape, &x, &w, None)?);
    let sum = add(&tape, &y, &z)?;
    let twice = tape.backward_from(&sum, &dy)?;
    let doubled = gradient.affine(2.0, 0.0)?;
    assert_eq!(bits(twice.get(&w).expect("a variable")), bits(&doubled));
    Ok(())
}

#[test]
fn a_variable_can_be_changed_in_place_after_its_backward_pass() -> Result<()> {
    let (x, w) = (
        Array::normal(&[2, 3], 1).tensor(),
        Array::normal(&[4, 3], 2).var(),
    );
    let tape = Tape::recording();
    let loss = cross_entropy(&tape, &linear(&tape, &x, &w, None)?, &[1, 2])?;
    let gradients = tape.backward(&loss)?;
    let velocity = Array::zeros(&[4, 3]).var();
    let step = graft_ops::SgdStep {
        lr: 0.5,
        momentum: 0.0,
        weight_decay: 0.0,
        ..graft_ops::SgdStep::default()
    };
    graft_ops::sgd_step(&w, gradients.get(&w).expect("a variable"), &velocity, &step)?;
    let after = cross_entropy(
        &Tape::disabled(),
        &linear(&Tape::disabled(), &x, &w, None)?,
        &[1, 2],
    )?;
    assert!(after.to_scalar::<f32>()? < loss.to_scalar::<f32>()?);
    Ok(())
}
