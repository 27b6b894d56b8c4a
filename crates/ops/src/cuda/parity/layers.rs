//! Convolutions and linear layers.

use super::case;
use super::comparison::{Case, activation, parameter};
use crate::cuda::convolution::by_products;
use crate::{Conv2d, conv2d, linear};

/// A convolution: its name, the input's shape, outputs and kernel.
#[derive(Clone, Copy)]
struct Layer(&'static str, [usize; 4], usize, (usize, usize), Conv2d);

/// Convolutions of all channels with all.
fn dense() -> Vec<Layer> {
    let plain = Conv2d::default();
    let same = Conv2d {
        padding: (1, 1),
        ..plain
    };
    let strided = Conv2d {
        stride: (2, 2),
        ..same
    };
    vec![
        Layer("3×3", [2, 7, 5, 3], 4, (3, 3), same),
        Layer("3×3, many channels", [2, 9, 6, 33], 40, (3, 3), same),
        Layer("3×3 stride 2", [3, 9, 7, 5], 6, (3, 3), strided),
        Layer("3×3 without padding", [1, 6, 7, 8], 8, (3, 3), plain),
        Layer("1×1", [2, 5, 4, 12], 7, (1, 1), plain),
        Layer(
            "1×1 stride 2",
            [2, 7, 6, 8],
            5,
            (1, 1),
            Conv2d {
                stride: (2, 2),
                ..plain
            },
        ),
        Layer("1×1 on one pixel", [3, 1, 1, 9], 4, (1, 1), plain),
        Layer("3×3 on one pixel", [2, 1, 1, 4], 3, (3, 3), same),
        Layer(
            "7×7 stride 2",
            [2, 15, 13, 3],
            8,
            (7, 7),
            Conv2d {
                stride: (2, 2),
                padding: (3, 3),
                ..plain
            },
        ),
        Layer(
            "3×1",
            [2, 6, 5, 4],
            5,
            (3, 1),
            Conv2d {
                padding: (1, 0),
                ..plain
            },
        ),
        Layer(
            "1×7, stride 1 and 2",
            [1, 5, 11, 4],
            4,
            (1, 7),
            Conv2d {
                stride: (1, 2),
                padding: (0, 3),
                ..plain
            },
        ),
        Layer(
            "3×3 dilated",
            [2, 9, 8, 4],
            4,
            (3, 3),
            Conv2d {
                padding: (2, 1),
                dilation: (2, 1),
                ..plain
            },
        ),
    ]
}

/// Convolutions in groups of channels, and of single channels.
fn in_groups() -> Vec<Layer> {
    let plain = Conv2d::default();
    let same = Conv2d {
        padding: (1, 1),
        ..plain
    };
    let grouped = |groups| Conv2d { groups, ..same };
    vec![
        Layer("3×3 in 2 groups", [2, 6, 5, 8], 6, (3, 3), grouped(2)),
        Layer("3×3 in 4 groups", [1, 7, 6, 12], 16, (3, 3), grouped(4)),
        Layer("3×3 depthwise", [2, 7, 6, 10], 10, (3, 3), grouped(10)),
        Layer(
            "3×3 depthwise, many pixels",
            [3, 21, 17, 36],
            36,
            (3, 3),
            grouped(36),
        ),
        Layer(
            "5×5 depthwise stride 2",
            [2, 9, 11, 7],
            7,
            (5, 5),
            Conv2d {
                stride: (2, 2),
                padding: (2, 2),
                groups: 7,
                ..plain
            },
        ),
        Layer(
            "3×3 depthwise, two outputs each",
            [2, 6, 6, 5],
            10,
            (3, 3),
            grouped(5),
        ),
    ]
}

/// What products of matrices see in other ways than small layers show.
fn for_products() -> Vec<Layer> {
    let plain = Conv2d::default();
    let stem = Conv2d {
        stride: (2, 2),
        padding: (3, 3),
        ..plain
    };
    let uneven = Conv2d {
        stride: (2, 1),
        padding: (1, 3),
        dilation: (1, 3),
        groups: 3,
    };
    let padded = Conv2d {
        stride: (2, 2),
        padding: (1, 1),
        ..plain
    };
    let grouped = |groups| Conv2d { groups, ..plain };
    vec![
        Layer("7×7 stride 2 of colours", [1, 33, 29, 3], 64, (7, 7), stem),
        Layer("3×3 of one channel", [2, 7, 9, 1], 6, (3, 3), plain),
        Layer(
            "3×3 dilated and strided in 3 groups",
            [3, 9, 11, 24],
            15,
            (3, 3),
            uneven,
        ),
        Layer("2×2 in 2 groups", [2, 6, 5, 14], 10, (2, 2), grouped(2)),
        Layer("1×1 in 3 groups", [2, 5, 4, 12], 9, (1, 1), grouped(3)),
        Layer("1×1 padded stride 2", [2, 7, 6, 16], 5, (1, 1), padded),
        Layer("3×3 to one output", [2, 6, 7, 40], 1, (3, 3), plain),
    ]
}

/// How a convolution is computed, and of what.
#[derive(Clone, Copy)]
enum Way {
    AsUsual,
    /// By cuDNN or whatever there is, of an input whose channels lie apart.
    Strided,
    /// By products of matrices, all pictures at once.
    Products,
    /// By products of matrices, one picture at a time.
    ProductsOfOne,
}

fn convolution(layer: Layer, way: Way) -> Case {
    let Layer(name, x, outputs, kernel, conv) = layer;
    let weight = [outputs, x[3] / conv.groups, kernel.0, kernel.1];
    let (limit, suffix) = match way {
        Way::AsUsual => (None, ""),
        Way::Strided => (None, ", strided input"),
        Way::Products => (Some(usize::MAX), ", by products"),
        Way::ProductsOfOne => (Some(1), ", by products one by one"),
    };
    let mut input = activation(x);
    if matches!(way, Way::Strided) {
        input = input.strided();
    }
    case!(
        format!("conv2d {name}{suffix}"),
        [input, parameter(weight), parameter([outputs])],
        |tape, [x, weight, bias]| {
            let convolved = || conv2d(tape, x, weight, Some(bias), &conv);
            match limit {
                Some(limit) => by_products(limit, convolved),
                None => convolved(),
            }
        }
    )
}

fn fully_connected(n: usize, i: usize, o: usize) -> Case {
    case!(
        format!("linear {n}×{i} to {o}"),
        [activation([n, i]), parameter([o, i]), parameter([o])],
        |tape, [x, weight, bias]| linear(tape, x, weight, Some(bias))
    )
}

pub(super) fn cases() -> Vec<Case> {
    let layers = [dense(), in_groups(), for_products()].concat();
    let mut cases: Vec<Case> = layers
        .iter()
        .map(|layer| convolution(*layer, Way::AsUsual))
        .collect();
    for layer in &layers {
        let Layer(_, x, _, _, conv) = layer;
        // Single channels are filtered for themselves in any case.
        if x[3] == conv.groups && conv.groups > 1 {
            continue;
        }
        cases.push(convolution(*layer, Way::Products));
        if x[0] > 1 {
            cases.push(convolution(*layer, Way::ProductsOfOne));
        }
    }
    let strided = layers.into_iter().filter(|layer| layer.1[0] == 2);
    cases.extend(
        strided
            .take(2)
            .map(|layer| convolution(layer, Way::Strided)),
    );
    cases.push(case!(
        "conv2d without bias",
        [activation([2, 5, 5, 4]), parameter([8, 4, 3, 3])],
        |tape, [x, weight]| conv2d(tape, x, weight, None, &Conv2d::default())
    ));
    cases.extend([
        fully_connected(3, 5, 7),
        fully_connected(1, 64, 10),
        fully_connected(17, 33, 1),
        fully_connected(40, 96, 72),
    ]);
    cases.push(case!(
        "linear without bias, strided input",
        [activation([6, 9]).strided(), parameter([5, 9])],
        |tape, [x, weight]| linear(tape, x, weight, None)
    ));
    cases
}
