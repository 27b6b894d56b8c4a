//! Convolutions by Winograd's algorithm, which small sizes would not be computed by.

use super::case;
use super::comparison::{Case, activation, parameter};
use crate::cuda::convolution::winograd::{Forced, forced};
use crate::{Conv2d, conv2d};

/// The input's shape, outputs, padding, tiles of a chunk, and pieces of a chunk in the weight's gradient.
type Sizes = ([usize; 4], usize, (usize, usize), usize, usize);

const ALL: [Sizes; 14] = [
    // One tile, whole and with nothing but a corner.
    ([1, 6, 6, 32], 32, (0, 0), 100, 1),
    ([1, 1, 1, 4], 3, (1, 1), 100, 1),
    ([1, 3, 3, 5], 7, (0, 0), 100, 3),
    // Odd channels, which no thread takes several of, on either side or both.
    ([2, 7, 5, 3], 5, (1, 1), 100, 1),
    ([2, 9, 6, 33], 32, (1, 1), 100, 2),
    ([2, 6, 9, 32], 33, (1, 1), 100, 1),
    // All paddings, also such that the input's gradient begins inside the output's.
    ([5, 8, 8, 32], 36, (1, 1), 100, 4),
    ([5, 9, 11, 6], 10, (0, 0), 100, 1),
    ([1, 5, 7, 8], 12, (2, 2), 100, 1),
    ([2, 4, 6, 4], 6, (0, 2), 100, 2),
    ([2, 5, 6, 6], 4, (4, 3), 100, 1),
    // Chunks that end anywhere, and pieces that do not come out even.
    ([5, 13, 10, 34], 30, (1, 1), 7, 1),
    ([5, 10, 13, 16], 64, (1, 1), 11, 4),
    ([3, 14, 14, 40], 24, (2, 1), 1, 2),
];

fn convolution((x, outputs, padding, chunk, pieces): Sizes, strided: bool) -> Case {
    let (weight, how) = ([outputs, x[3], 3, 3], Forced { chunk, pieces });
    let conv = Conv2d {
        padding,
        ..Conv2d::default()
    };
    let suffix = if strided { ", strided input" } else { "" };
    let input = activation(x);
    let input = if strided { input.strided() } else { input };
    case!(
        format!("Winograd {x:?} to {outputs}, padding {padding:?}{suffix}"),
        [input, parameter(weight), parameter([outputs])],
        |tape, [x, weight, bias]| forced(how, || conv2d(tape, x, weight, Some(bias), &conv))
    )
    .only_f32()
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = ALL.map(|sizes| convolution(sizes, false)).into();
    cases.push(convolution(([2, 7, 6, 8], 6, (1, 1), 3, 2), true));
    let how = Forced {
        chunk: 5,
        pieces: 2,
    };
    cases.push(
        case!(
            "Winograd without bias",
            [activation([3, 6, 9, 12]), parameter([20, 12, 3, 3])],
            |tape, [x, weight]| forced(how, || conv2d(tape, x, weight, None, &Conv2d::default()))
        )
        .only_f32(),
    );
    cases
}
