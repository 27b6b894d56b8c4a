//! The activations as formulas, which loops are compiled with.
//!
//! Nothing here branches, so that loops over them become vectors. They are written so that NaN stays NaN, which `max` and
//! `min` would hide.

/// A function of one value, and its slope.
pub(crate) trait Curve {
    /// Whether it is the identity, so that nothing has to be computed.
    const IS_IDENTITY: bool = false;

    /// The value at x.
    fn value(x: f32) -> f32;

    /// The argument's gradient from the value's, `g`, and the argument.
    fn gradient(g: f32, x: f32) -> f32;

    /// As [`Curve::gradient`], from what the backward pass saves: the value for those that save their values, or else the
    /// argument.
    #[inline(always)]
    fn gradient_from_saved(g: f32, saved: f32) -> f32 {
        Self::gradient(g, saved)
    }
}

/// Evaluates an expression in which `$curve` is the type of an `Option<Activation>`'s curve. It should be a call of a
/// function with the loops, so that the compiler sees those of each curve by themselves.
macro_rules! with_curve {
    ($activation:expr, $curve:ident => $body:expr) => {{
        use $crate::activation::{Activation, curves};
        match $activation {
            None => {
                type $curve = curves::Identity;
                $body
            }
            Some(Activation::Relu) => {
                type $curve = curves::Relu;
                $body
            }
            Some(Activation::Relu6) => {
                type $curve = curves::Relu6;
                $body
            }
            Some(Activation::Sigmoid) => {
                type $curve = curves::Sigmoid;
                $body
            }
            Some(Activation::Hardsigmoid) => {
                type $curve = curves::Hardsigmoid;
                $body
            }
            Some(Activation::Silu) => {
                type $curve = curves::Silu;
                $body
            }
            Some(Activation::Hardswish) => {
                type $curve = curves::Hardswish;
                $body
            }
        }
    }};
}
pub(crate) use with_curve;

/// x itself.
pub(crate) struct Identity;

impl Curve for Identity {
    const IS_IDENTITY: bool = true;

    #[inline(always)]
    fn value(x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn gradient(g: f32, _: f32) -> f32 {
        g
    }
}

/// max(x, 0), whose sign is that of its argument as far as the gradient goes.
pub(crate) struct Relu;

impl Curve for Relu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        if x <= 0.0 { 0.0 } else { x }
    }

    #[inline(always)]
    fn gradient(g: f32, x: f32) -> f32 {
        if x <= 0.0 { 0.0 } else { g }
    }
}

/// min(max(x, 0), 6), which lies between 0 and 6 where its argument does.
pub(crate) struct Relu6;

impl Curve for Relu6 {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        let x = if x <= 0.0 { 0.0 } else { x };
        if x >= 6.0 { 6.0 } else { x }
    }

    #[inline(always)]
    fn gradient(g: f32, x: f32) -> f32 {
        let g = if x <= 0.0 { 0.0 } else { g };
        if x >= 6.0 { 0.0 } else { g }
    }
}

/// 1/(1 + e⁻ˣ).
pub(crate) struct Sigmoid;

impl Curve for Sigmoid {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        1.0 / (1.0 + exp(-x))
    }

    #[inline(always)]
    fn gradient(g: f32, x: f32) -> f32 {
        Self::gradient_from_saved(g, Self::value(x))
    }

    #[inline(always)]
    fn gradient_from_saved(g: f32, y: f32) -> f32 {
        g * (1.0 - y) * y
    }
}

/// relu6(x + 3)/6.
pub(crate) struct Hardsigmoid;

impl Curve for Hardsigmoid {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        Relu6::value(x + 3.0) / 6.0
    }

    #[inline(always)]
    fn gradient(g: f32, x: f32) -> f32 {
        let g = if x <= -3.0 { 0.0 } else { g };
        if x >= 3.0 { 0.0 } else { g / 6.0 }
    }
}

/// x · sigmoid(x).
pub(crate) struct Silu;

impl Curve for Silu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x / (1.0 + exp(-x))
    }

    #[inline(always)]
    fn gradient(g: f32, x: f32) -> f32 {
        let s = Sigmoid::value(x);
        g * (s * (1.0 + x * (1.0 - s)))
    }
}

/// x · relu6(x + 3)/6.
pub(crate) struct Hardswish;

impl Curve for Hardswish {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * Relu6::value(x + 3.0) / 6.0
    }

    #[inline(always)]
    fn gradient(g: f32, x: f32) -> f32 {
        let inside = g * (x / 3.0 + 0.5);
        let left = if x <= -3.0 { 0.0 } else { inside };
        if x >= 3.0 { g } else { left }
    }
}

/// eˣ, to about two units in the last place; 0 below −87.7 and infinite above 88.4, where it or its reciprocal is no normal
/// float any more.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// ln 2 in two parts, of which the first has so few digits that its product with an exponent is exact.
    const HIGH: f32 = 355.0 / 512.0;
    const LOW: f32 = (std::f64::consts::LN_2 - 355.0 / 512.0) as f32;
    /// What is added to this number is rounded to an integer, which then stands in its lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// 1/k! from the last term on: the rest of the series is below 6e-9 for |r| ≤ ln 2/2.
    const TERMS: [f32; 6] = [
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
    ];
    let x = if x < -88.0 { -88.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    // x = k · ln 2 + r.
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = x - k * HIGH - k * LOW;
    let mut sum = 0.0;
    for term in TERMS {
        sum = sum * r + term;
    }
    let power = sum * (r * r) + r + 1.0;
    // 2ᵏ has k + 127 as the exponent of its bits.
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits());
    power * f32::from_bits(exponent.wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_double_precision() {
        let mut worst = 0f64;
        for i in -870_000..=870_000 {
            let x = i as f32 * 1e-4;
            let expected = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - expected).abs() / expected);
        }
        assert!(worst < 2.5e-7, "{worst}");
        assert_eq!((exp(0.0), exp(-0.0)), (1.0, 1.0));
        for x in [-87.7, -1e30, f32::NEG_INFINITY] {
            assert_eq!(exp(x), 0.0, "{x}");
        }
        for x in [88.4, 1e30, f32::INFINITY] {
            assert_eq!(exp(x), f32::INFINITY, "{x}");
        }
        assert!(exp(f32::NAN).is_nan());
    }
}
