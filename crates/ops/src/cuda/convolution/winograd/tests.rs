//! What is computed this way, and in which chunks.

use candle_core::{DType, Device, Result, Tensor};

use super::{Forced, Winograd, chunks, forced};
use crate::Conv2d;
use crate::conv2d::Geometry;
use crate::cuda::array::Kind;
use crate::cuda::options::Options;

const PLAIN: Options = Options {
    tf32: false,
    deterministic: true,
};
const SAME: Conv2d = Conv2d {
    stride: (1, 1),
    padding: (1, 1),
    dilation: (1, 1),
    groups: 1,
};

/// Sizes without the memory of such tensors.
fn geometry(n: usize, size: usize, [c, o]: [usize; 2], conv: &Conv2d) -> Result<Geometry> {
    let number = Tensor::zeros((), DType::F32, &Device::Cpu)?;
    let x = number.broadcast_as((n, size, size, c))?;
    let weight = number.broadcast_as((o, c / conv.groups, 3, 3))?;
    Geometry::new(&x, &weight, conv)
}

#[test]
fn sizes_and_precision_choose() -> Result<()> {
    let taken = |g: &Geometry| Winograd::of(g, Kind::F32, PLAIN).is_some();
    for (size, c) in [(56, 64), (28, 128), (14, 256), (7, 512)] {
        for (n, expected) in [(4, false), (32, true), (128, true)] {
            assert_eq!(
                taken(&geometry(n, size, [c, c], &SAME)?),
                expected,
                "{n}×{size}×{c}"
            );
        }
    }
    assert!(!taken(&geometry(128, 224, [3, 64], &SAME)?));
    let strided = Conv2d {
        stride: (2, 2),
        ..SAME
    };
    assert!(!taken(&geometry(128, 56, [64, 128], &strided)?));
    let grouped = Conv2d { groups: 2, ..SAME };
    assert!(!taken(&geometry(128, 56, [128, 128], &grouped)?));
    let large = geometry(128, 56, [64, 64], &SAME)?;
    assert!(Winograd::of(&large, Kind::Bf16, PLAIN).is_none());
    let tf32 = Options {
        tf32: true,
        ..PLAIN
    };
    assert!(Winograd::of(&large, Kind::F32, tf32).is_none());
    Ok(())
}

#[test]
fn small_sizes_can_be_forced() -> Result<()> {
    let small = geometry(1, 5, [3, 4], &SAME)?;
    let how = Forced {
        chunk: 3,
        pieces: 2,
    };
    let inside = forced(how, || Winograd::of(&small, Kind::F32, PLAIN));
    let inside = inside.map(|way| (way.chunk(4, 1), way.pieces(3)));
    assert_eq!(inside, Some((3, 2)));
    assert!(Winograd::of(&small, Kind::F32, PLAIN).is_none());
    Ok(())
}

#[test]
fn chunks_are_about_equal_and_cover_all_tiles() -> Result<()> {
    let of = |n, size, c| -> Result<_> {
        let g = geometry(n, size, [c, c], &SAME)?;
        Ok(Winograd::of(&g, Kind::F32, PLAIN).expect("there is enough work"))
    };
    let narrow = of(128, 56, 64)?;
    let chunk = narrow.chunk(25_088, narrow.cached());
    // 144 bytes of each of 128 channels.
    assert!(
        chunk % 128 == 0 && (1280..=2730 + 128).contains(&chunk),
        "{chunk}"
    );
    let all: Vec<_> = chunks(25_088, chunk).collect();
    assert_eq!(all[0].start, 0);
    assert_eq!(all[all.len() - 1].end, 25_088);
    assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
    // Wide layers, whose products are many, need no chunks at this batch.
    for (size, c, tiles) in [(28, 128, 6272), (14, 256, 2048), (7, 512, 512)] {
        let wide = of(128, size, c)?;
        assert_eq!(wide.chunk(tiles, wide.cached()), tiles);
    }
    let pieces = |size, c, tiles| Ok::<_, candle_core::Error>(of(128, size, c)?.pieces(tiles));
    assert_eq!(pieces(56, 64, 12_544)?, 16);
    assert_eq!(pieces(28, 128, 6272)?, 7);
    assert_eq!(pieces(14, 256, 2048)?, 2);
    assert_eq!(pieces(7, 512, 512)?, 1);
    Ok(())
}
