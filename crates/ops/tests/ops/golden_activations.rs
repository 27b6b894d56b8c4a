//! Activations, alone, behind batch norm and in a block, against values from `torch` 2.15.0, made by
//! `scripts/golden_ops.py`.

use candle_core::{Result, Tensor, Var};
use graft_ops::{
    Activation, Affine, Conv2d, Tape, Then, activate, activate_in_place, add, batch_norm_eval,
    batch_norm_eval_then, batch_norm_train, batch_norm_train_then, conv2d, global_avg_pool,
    hardsigmoid, hardswish, linear, relu, relu6, scale_channels, sigmoid, silu,
};

use crate::arrays::bits;
use crate::golden::Golden;

type Function = fn(&Tape, &Tensor) -> Result<Tensor>;

const ALL: [(&str, Activation, Function); 6] = [
    ("relu", Activation::Relu, relu),
    ("relu6", Activation::Relu6, relu6),
    ("sigmoid", Activation::Sigmoid, sigmoid),
    ("hardsigmoid", Activation::Hardsigmoid, hardsigmoid),
    ("silu", Activation::Silu, silu),
    ("hardswish", Activation::Hardswish, hardswish),
];

// F.relu(x), F.relu6(x), torch.sigmoid(x), F.hardsigmoid(x), F.silu(x) and F.hardswish(x), at and beside the kinks, near 0,
// and where exponentials overflow
#[test]
fn each_activation() {
    let golden = Golden::of("activations");
    for (name, activation, function) in ALL {
        for x in ["near", "far"] {
            let case = format!("{name}.{x}");
            golden.check(&case, &["x"], |tape, v| function(tape, &v[0]));
            let fresh = golden.get(&format!("{case}.x"));
            let y = activate_in_place(&Tape::disabled(), fresh, activation).expect(name);
            golden.assert(&format!("{case}.y"), &y, 3e-6);
        }
    }
}

fn affine(v: &[Var], eps: f64) -> Affine<'_> {
    Affine {
        weight: &v[1],
        bias: &v[2],
        eps,
    }
}

// each of F.batch_norm(x[2, 5, 3, 7], None, None, w, b, training=True), in one pass and in two
#[test]
fn behind_batch_norm_in_training() {
    let (golden, leaves) = (Golden::of("activations"), ["x", "w", "b"]);
    for (name, activation, function) in ALL {
        let case = format!("bn.train.{name}");
        golden.check(&case, &leaves, |tape, v| {
            let then = Then::Activation(activation);
            Ok(batch_norm_train_then(tape, &v[0], &affine(v, 1e-5), then)?.0)
        });
        golden.check(&case, &leaves, |tape, v| {
            function(tape, &batch_norm_train(tape, &v[0], &v[1], &v[2], 1e-5)?.0)
        });
    }
}

// each of F.batch_norm(x[1, 5, 3, 7], mean, var, w, b), in one pass and in two
#[test]
fn behind_batch_norm_in_evaluation() -> Result<()> {
    let (golden, leaves) = (Golden::of("activations"), ["x", "w", "b"]);
    let (mean, var) = (golden.get("bn.mean"), golden.get("bn.var"));
    for (name, activation, function) in ALL {
        let case = format!("bn.eval.{name}");
        let then = Then::Activation(activation);
        let together = |tape: &Tape, x: Tensor, v: &[Var]| {
            batch_norm_eval_then(tape, x, [&mean, &var], &affine(v, 1e-5), then)
        };
        golden.check(&case, &leaves, |tape, v| {
            together(tape, v[0].as_tensor().clone(), v)
        });
        golden.check(&case, &leaves, |tape, v| {
            let y = batch_norm_eval(tape, &v[0], &mean, &var, &v[1], &v[2], 1e-5)?;
            function(tape, &y)
        });
        let v: Vec<Var> = leaves
            .iter()
            .map(|leaf| Var::from_tensor(&golden.get(&format!("{case}.{leaf}"))))
            .collect::<Result<_>>()?;
        let (off, fresh) = (Tape::disabled(), v[0].copy()?);
        let new = together(&off, v[0].as_tensor().clone(), &v)?;
        assert_eq!(
            bits(&together(&off, fresh, &v)?),
            bits(&new),
            "{name} in place"
        );
    }
    Ok(())
}

// x[2, 5, 3, 4] * gate[:, :, None, None], and x[1, 17, 7, 5]
#[test]
fn maps_times_numbers() {
    for case in ["scale", "scale.wide"] {
        Golden::of("activations").check(case, &["x", "gate"], |tape, v| {
            scale_channels(tape, &v[0], &v[1])
        });
    }
}

// y = F.hardswish(F.batch_norm(F.conv2d(x, we), None, None, ge, be, training=True))
// y = F.hardswish(F.batch_norm(F.conv2d(y, wd, padding=2, groups=10), None, None, gd, bd, training=True))
// s = F.linear(F.relu(F.linear(F.adaptive_avg_pool2d(y, 1).flatten(1), w1, b1)), w2, b2)
// F.conv2d(y * F.hardsigmoid(s)[:, :, None, None], wp) + x
#[test]
fn an_inverted_residual_with_squeeze_and_excitation() {
    let leaves = [
        "x", "we", "ge", "be", "wd", "gd", "bd", "w1", "b1", "w2", "b2", "wp",
    ];
    Golden::of("activations").check("inverted", &leaves, |tape, v| {
        let point = Conv2d::default();
        let by_depth = Conv2d {
            padding: (2, 2),
            groups: 10,
            ..point
        };
        let then = Then::Activation(Activation::Hardswish);
        let y = conv2d(tape, &v[0], &v[1], None, &point)?;
        let y = batch_norm_train_then(tape, &y, &affine(&v[1..], 1e-5), then)?.0;
        let y = conv2d(tape, &y, &v[4], None, &by_depth)?;
        let y = batch_norm_train_then(tape, &y, &affine(&v[4..], 1e-5), then)?.0;
        let s = linear(tape, &global_avg_pool(tape, &y)?, &v[7], Some(&v[8]))?;
        let s = linear(tape, &relu(tape, &s)?, &v[9], Some(&v[10]))?;
        let gate = activate(tape, &s, Activation::Hardsigmoid)?;
        let y = scale_channels(tape, &y, &gate)?;
        add(tape, &conv2d(tape, &y, &v[11], None, &point)?, &v[0])
    });
}
