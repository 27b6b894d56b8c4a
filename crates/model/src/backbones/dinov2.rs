//! `DINOv2` (Oquab et al. 2024), a vision transformer trained without labels, with the names of its authors: a fixed extractor
//! of features.
//!
//! candle has a `DINOv2` too, but with the approximate GELU, another epsilon, and positions resampled by nearest neighbour, so
//! its features are not the published ones. This one is made of the same layers and computes them.

use candle_core::{D, IndexOp, Result, Tensor};
use candle_nn::{
    Conv2d, Conv2dConfig, Func, LayerNorm, Linear, Module, VarBuilder, conv2d, layer_norm, linear,
    ops::softmax_last_dim,
};

use crate::{
    Assembly, OptionError,
    layers::{Recipe, bicubic, extract},
    options::Options,
    registry::{Entry, IMAGENET_MEAN, IMAGENET_STD, WeightSource, same_name},
};

pub(crate) const VITS14: Entry = Entry {
    name: "dinov2_vits14",
    about: "DINOv2 with ViT-S/14, a fixed extractor of 768 features that no labels shaped (Oquab et al. 2024)",
    options: &[],
    default_size: 224,
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
    classifier: "head.",
    // It stood for hidden patches in training.
    auxiliary: &["mask_token"],
    weights: &[
        WeightSource {
            spec: "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
            trained_on: TRAINED_ON,
        },
        WeightSource {
            spec: "hf:timm/vit_small_patch14_dinov2.lvd142m",
            trained_on: TRAINED_ON,
        },
        WeightSource {
            spec: "hf:lmz/candle-dino-v2/dinov2_vits14.safetensors",
            trained_on: TRAINED_ON,
        },
    ],
    extractor: true,
    rename: same_name,
    check: |table| Ok(Options::new(table, &[])?.finish()),
    check_size: |_, size| {
        if size > 0 && size.is_multiple_of(PATCH) {
            return Ok(());
        }
        let expected = format!("pictures whose side is a multiple of {PATCH} pixels");
        Err(OptionError::new("size", expected, size))
    },
    build: |_, assembly| Ok(build(assembly)?),
};

const TRAINED_ON: &str = "142 million pictures without labels (LVD-142M)";

/// Side of a patch in pixels.
const PATCH: usize = 14;
/// Patches along a side of the pictures that the positions were learnt for: 518 pixels.
const LEARNT: usize = 37;
/// Length of a token, heads of the attention, and blocks.
const WIDTH: usize = 384;
const HEADS: usize = 6;
const BLOCKS: usize = 12;
/// What the norms add to the variance.
const EPS: f64 = 1e-6;

/// The class token and the mean of the patches' tokens after the last norm, side by side; the published linear layer on them is
/// the head.
fn build(assembly: &mut Assembly<'_>) -> Result<()> {
    let size = assembly.dimensions().size;
    let side = size / PATCH;
    let make = move |vb: VarBuilder<'_>| {
        let model = Transformer::new(&vb, side)?;
        Ok(Func::new(move |x| model.forward(x)))
    };
    let tokens = side * side + 1;
    let uses = move |weight: &str| {
        if weight.starts_with("patch_embed") {
            side * side
        } else {
            tokens
        }
    };
    let recipe = Recipe {
        size: Some(size),
        // Every query meets every key, and so every value.
        between: BLOCKS * 2 * tokens * tokens * WIDTH,
        ..Recipe::new(2 * WIDTH, make, uses)
    };
    extract(assembly, VITS14.name, recipe, "head")
}

/// Patches as tokens, blocks of attention, a norm.
struct Transformer {
    patches: Conv2d,
    class: Tensor,
    /// One for each token.
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Transformer {
    /// For pictures of `side` × `side` patches.
    fn new(vb: &VarBuilder<'_>, side: usize) -> Result<Self> {
        let stride = Conv2dConfig {
            stride: PATCH,
            ..Conv2dConfig::default()
        };
        let class = vb.get((1, 1, WIDTH), "cls_token")?;
        let positions = vb.get((1, LEARNT * LEARNT + 1, WIDTH), "pos_embed")?;
        let blocks = vb.pp("blocks");
        Ok(Self {
            patches: conv2d(3, WIDTH, PATCH, stride, vb.pp("patch_embed.proj"))?,
            class,
            positions: positions_for(side, &positions)?,
            blocks: (0..BLOCKS)
                .map(|block| Block::new(&blocks.pp(block)))
                .collect::<Result<_>>()?,
            norm: layer_norm(WIDTH, EPS, vb.pp("norm"))?,
        })
    }

    /// `(n, 3, h, w)` to `(n, 2 · WIDTH)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let patches = self.patches.forward(x)?.flatten_from(2)?.transpose(1, 2)?;
        let class = self.class.broadcast_as((x.dim(0)?, 1, WIDTH))?;
        let mut x = Tensor::cat(&[&class, &patches], 1)?.broadcast_add(&self.positions)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let x = self.norm.forward(&x)?;
        Tensor::cat(&[x.i((.., 0))?, x.i((.., 1..))?.mean(1)?], D::Minus1)
    }
}

/// The learnt positions `(1, 1 + LEARNT², WIDTH)`, of which the patches' are resampled to `side` × `side`. The authors ask for
/// a tenth of a patch more, against rounding, and so the steps are a little shorter than the sizes say.
fn positions_for(side: usize, learnt: &Tensor) -> Result<Tensor> {
    if side == LEARNT {
        return Ok(learnt.clone());
    }
    let scale = (side as f64 + 0.1) / LEARNT as f64;
    let map = learnt.i((0, 1..))?.flatten_all()?.to_vec1::<f32>()?;
    let map = bicubic(&map, LEARNT, side, WIDTH, scale);
    let map = Tensor::from_vec(map, (1, side * side, WIDTH), learnt.device())?;
    Tensor::cat(&[&learnt.i((.., ..1))?, &map], 1)
}

/// Attention and a hidden layer, each behind a norm, scaled, and added to what it started from.
struct Block {
    norms: [LayerNorm; 2],
    scales: [Tensor; 2],
    /// Queries, keys and values in one.
    queries: Linear,
    project: Linear,
    hidden: [Linear; 2],
}

impl Block {
    fn new(vb: &VarBuilder<'_>) -> Result<Self> {
        let norm = |name: &str| layer_norm(WIDTH, EPS, vb.pp(name));
        let scale = |name: &str| vb.get(WIDTH, name);
        let linear = |name: &str, from, to| linear(from, to, vb.pp(name));
        Ok(Self {
            norms: [norm("norm1")?, norm("norm2")?],
            scales: [scale("ls1.gamma")?, scale("ls2.gamma")?],
            queries: linear("attn.qkv", WIDTH, 3 * WIDTH)?,
            project: linear("attn.proj", WIDTH, WIDTH)?,
            hidden: [
                linear("mlp.fc1", WIDTH, 4 * WIDTH)?,
                linear("mlp.fc2", 4 * WIDTH, WIDTH)?,
            ],
        })
    }

    fn attend(&self, x: &Tensor) -> Result<Tensor> {
        let (n, tokens, _) = x.dims3()?;
        let all = self.queries.forward(x)?;
        // (3, n, heads, tokens, width of a head)
        let all = all.reshape((n, tokens, 3, HEADS, WIDTH / HEADS))?;
        let all = all.permute((2, 0, 3, 1, 4))?.contiguous()?;
        let scale = ((WIDTH / HEADS) as f64).sqrt().recip();
        let (queries, keys, values) = ((all.i(0)? * scale)?, all.i(1)?, all.i(2)?);
        let weights = softmax_last_dim(&queries.matmul(&keys.t()?)?)?;
        let mixed = weights.matmul(&values)?.transpose(1, 2)?;
        self.project.forward(&mixed.reshape((n, tokens, WIDTH))?)
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [norm, second] = &self.norms;
        let [scale, second_scale] = &self.scales;
        let found = self.attend(&norm.forward(x)?)?;
        let x = (x + found.broadcast_mul(scale)?)?;
        let [widen, narrow] = &self.hidden;
        let found = widen.forward(&second.forward(&x)?)?.gelu_erf()?;
        let found = narrow.forward(&found)?;
        x + found.broadcast_mul(second_scale)?
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// `interpolate(map, scale_factor=((side + 0.1) / 37,) * 2, mode="bicubic")` of `torch.nn.functional` 2.15.0.
    #[test]
    fn positions_are_resampled_as_the_authors_do() {
        let value = |y: usize, x: usize, c: usize| ((7 * y + 13 * x + 29 * c) % 32) as f32;
        let mut learnt = vec![100.0; WIDTH];
        for pixel in 0..LEARNT * LEARNT {
            learnt.extend((0..WIDTH).map(|c| value(pixel / LEARNT, pixel % LEARNT, c)));
        }
        let shape = (1, 1 + LEARNT * LEARNT, WIDTH);
        let learnt = Tensor::from_vec(learnt, shape, &Device::Cpu).unwrap();
        for (side, golden) in GOLDEN {
            let positions = positions_for(side, &learnt).unwrap();
            assert_eq!(positions.dims(), [1, 1 + side * side, WIDTH]);
            let row = |token: usize| positions.i((0, token)).unwrap().to_vec1::<f32>().unwrap();
            assert!(row(0).iter().all(|&class| class == 100.0));
            let tokens = [
                (0, 0),
                (0, side - 1),
                (side / 2, side / 3),
                (side - 1, side - 1),
            ];
            for ((y, x), expected) in tokens.into_iter().zip(golden) {
                let found = row(1 + y * side + x)[5];
                let near = (found - expected).abs() < 1e-4;
                assert!(
                    near,
                    "side {side}, ({y}, {x}): expected {expected}, found {found}"
                );
            }
        }
        let same = positions_for(LEARNT, &learnt).unwrap();
        assert_eq!(same.dims(), learnt.dims());
    }

    const GOLDEN: [(usize, [f32; 4]); 4] = [
        (1, [22.858_034; 4]),
        (4, [0.790_335, -0.336_637, 20.426_987, 26.961_145]),
        (16, [15.092_49, 30.319_21, 21.104_298, 16.253_86]),
        (50, [15.342_515, 3.760_358, 14.737_857, -0.715_778]),
    ];
}
