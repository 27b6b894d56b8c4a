//! Windows of many kinds against values from `torch` 2.15.0, made by `scripts/golden_ops.py`.

use graft_ops::{Conv2d, Pool2d, adaptive_avg_pool2d, avg_pool2d, max_pool2d};

use crate::golden::Golden;

fn check_conv(case: &str, stride: (usize, usize), padding: (usize, usize), groups: usize) {
    let conv = Conv2d {
        stride,
        padding,
        groups,
        ..Conv2d::default()
    };
    Golden::of("windows").check_conv(case, &conv);
}

// F.conv2d(x[2, 16, 5, 9], w[10, 16, 1, 7], b, padding=(0, 3)); x[1, 18, 9, 5], w[12, 18, 7, 1], padding=(3, 0)
// F.conv2d(x[1, 20, 6, 7], w[19, 20, 1, 3], b, padding=(0, 1)); x[2, 16, 7, 4], w[16, 16, 3, 1], padding=(1, 0)
#[test]
fn convs_with_kernels_of_one_row_or_column() {
    check_conv("conv.1x7", (1, 1), (0, 3), 1);
    check_conv("conv.7x1", (1, 1), (3, 0), 1);
    check_conv("conv.1x3", (1, 1), (0, 1), 1);
    check_conv("conv.3x1", (1, 1), (1, 0), 1);
}

// F.conv2d(x[1, 16, 6, 7], w[16, 16, 3, 3], b, padding=(0, 2)); x[1, 3, 11, 8], w[5, 3, 5, 2], stride=(2, 1), padding=(3, 0)
#[test]
fn convs_with_uneven_padding() {
    check_conv("conv.uneven", (1, 1), (0, 2), 1);
    check_conv("conv.tall", (2, 1), (3, 0), 1);
}

// F.conv2d(x[2, 17, 7, 6], w[17, 1, 3, 3], padding=1, groups=17); x[1, 33, 7, 8], w[33, 1, 3, 3], b, stride=2
// F.conv2d(x[1, 16, 7, 9], w[16, 1, 5, 5], b, padding=2, groups=16); x[2, 19, 8, 7], w[19, 1, 5, 5], stride=2
#[test]
fn convs_by_depth() {
    check_conv("depth.3", (1, 1), (1, 1), 17);
    check_conv("depth.3/2", (2, 2), (1, 1), 33);
    check_conv("depth.5", (1, 1), (2, 2), 16);
    check_conv("depth.5/2", (2, 2), (2, 2), 19);
}

/// A pool in ceil mode.
fn pool(kernel: (usize, usize), stride: (usize, usize), padding: (usize, usize)) -> Pool2d {
    Pool2d {
        kernel,
        stride,
        padding,
        ceil_mode: true,
    }
}

// F.max_pool2d(x[2, 5, 8, 7], 3, 2, ceil_mode=True); F.max_pool2d(x[1, 17, 6, 7], 3, 1, 1, ceil_mode=True)
#[test]
fn max_pools_in_ceil_mode() {
    for (case, pool) in [
        ("max.ceil", pool((3, 3), (2, 2), (0, 0))),
        ("max.same", pool((3, 3), (1, 1), (1, 1))),
    ] {
        Golden::of("windows").check(case, &["x"], |tape, v| max_pool2d(tape, &v[0], &pool));
    }
}

// F.avg_pool2d(x[2, 6, 7, 5], 3, 1, 1, count_include_pad=False)
// F.avg_pool2d(x[1, 5, 7, 9], 2, 2, ceil_mode=True, count_include_pad=False)
// F.avg_pool2d(x[2, 3, 9, 6], (5, 2), (2, 3), (2, 1), ceil_mode=True, count_include_pad=False)
#[test]
fn average_pools_that_ignore_padding() {
    let same = Pool2d {
        ceil_mode: false,
        ..pool((3, 3), (1, 1), (1, 1))
    };
    for (case, pool) in [
        ("avg.same", same),
        ("avg.ceil", pool((2, 2), (2, 2), (0, 0))),
        ("avg.uneven", pool((5, 2), (2, 3), (2, 1))),
    ] {
        Golden::of("windows").check(case, &["x"], |tape, v| {
            avg_pool2d(tape, &v[0], &pool, false)
        });
    }
}

// F.adaptive_avg_pool2d(x, size) of x[2, 3, 5, 6], x[3, 5, 4, 3], x[2, 17, 7, 5], x[1, 4, 5, 6] and x[1, 2, 13, 4]
#[test]
fn adaptive_pools() {
    for (case, size) in [
        ("one", (1, 1)),
        ("same", (4, 3)),
        ("less", (3, 2)),
        ("more", (7, 13)),
        ("mixed", (6, 9)),
    ] {
        Golden::of("windows").check(&format!("adaptive.{case}"), &["x"], |tape, v| {
            adaptive_avg_pool2d(tape, &v[0], size)
        });
    }
}
