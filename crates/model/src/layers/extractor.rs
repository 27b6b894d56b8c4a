//! Models that candle computes, as fixed extractors of features.
//!
//! candle builds a model from a [`VarBuilder`], which it asks for tensors by name. An [`Extractor`] has the model built
//! once to hear which tensors it asks for, and makes parameters and buffers of them, so that weight files are checked,
//! loaded and saved as those of any network. Every pass builds the model again on the tensors as they are then, which
//! share their memory with it: that costs next to nothing beside the pass, and what candle derives from weights when it
//! builds a model (batch norm copies its statistics) is never older than they are.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::{Func, Module, VarBuilder, var_builder::SimpleBackend};
use graft_ops::cast;

use super::{FixedSize, Layer, Linear, Sequential};
use crate::{
    Assembly, Builder, Output, Pass,
    init::{Initial, WeightInit},
    parameter::{Buffer, Kind, Parameter},
};

/// Builds a model: `(n, 3, h, w)` to `(n, k)`.
type Make = Box<dyn Fn(VarBuilder<'_>) -> Result<Func<'static>> + Send + Sync>;
/// How often the weight of this (published) name meets a picture.
type Uses = Box<dyn Fn(&str) -> usize + Send + Sync>;

/// A model of candle's and how it becomes an extractor.
pub(crate) struct Recipe {
    /// Builds the model.
    pub(crate) make: Make,
    /// How many features it gives.
    pub(crate) features: usize,
    /// What the names of its classifier's tensors begin with, if it ends in one. The classifier is built for as many classes
    /// as there are features and given an identity, so that they come out as they are.
    pub(crate) classifier: Option<&'static str>,
    /// Ends of the names of tensors that candle asks for although this kind has none, to find out which kind it is.
    pub(crate) absent: &'static [&'static str],
    /// candle's name for a tensor to the published one.
    pub(crate) publish: fn(&str) -> String,
    /// How often the weight of a published name meets a picture: pixels or tokens.
    pub(crate) uses: Uses,
    /// Multiplications for a picture that involve no weight.
    pub(crate) between: usize,
    /// The only size of picture that the model takes, if it takes no other.
    pub(crate) size: Option<usize>,
}

/// Makes a network of a recipe: the extractor as its one stage, and a linear layer called `head` on the features, which is what
/// published models end in.
pub(crate) fn extract(
    assembly: &mut Assembly<'_>,
    name: &'static str,
    recipe: Recipe,
    head: &str,
) -> Result<()> {
    let features = recipe.features;
    assembly.stage(name, Output::Vector(features), |builder| {
        let sized = Sequential::new().with_some(recipe.size.map(FixedSize::new));
        Ok(sized.with(Extractor::new(builder, name, recipe)?))
    })?;
    assembly.head(|builder, classes| {
        let head = Linear::new(&builder.scope(head), features, classes)?;
        Ok(Sequential::new().with(head))
    })
}

impl Recipe {
    /// A model under candle's own names that has every tensor it asks for.
    pub(crate) fn new(
        features: usize,
        make: impl Fn(VarBuilder<'_>) -> Result<Func<'static>> + Send + Sync + 'static,
        uses: impl Fn(&str) -> usize + Send + Sync + 'static,
    ) -> Self {
        Self {
            make: Box::new(make),
            features,
            classifier: None,
            absent: &[],
            publish: str::to_owned,
            uses: Box::new(uses),
            between: 0,
            size: None,
        }
    }

    fn is_classifier(&self, name: &str) -> bool {
        self.classifier
            .is_some_and(|prefix| name.starts_with(prefix))
    }
}

/// A model of candle's without its classifier: `(n, h, w, 3)` to `(n, k)`. Nothing of it trains, no tape takes note of it, and
/// batch norm uses its running statistics.
struct Extractor {
    name: &'static str,
    recipe: Recipe,
    parameters: Vec<(String, Arc<Parameter>)>,
    buffers: Vec<(String, Arc<Buffer>)>,
    /// Weight and bias of the classifier.
    identity: Option<[(String, Tensor); 2]>,
    device: Device,
}

impl Extractor {
    /// The model of a recipe, with its tensors under their published names.
    fn new(builder: &Builder, name: &'static str, recipe: Recipe) -> Result<Self> {
        let builder = builder.root();
        let device = builder.device().clone();
        let asked = asked(&recipe, &device)?;
        let (mut parameters, mut buffers) = (Vec::new(), Vec::new());
        for (own, shape) in &asked {
            let published = (recipe.publish)(own);
            if let Some(value) = running_statistic(own) {
                buffers.push((own.clone(), builder.buffer(&published, shape, value)?));
                continue;
            }
            let (kind, initial) = role(own, shape, &asked);
            let parameter = builder.parameter(&published, shape, kind, initial, initial)?;
            parameters.push((own.clone(), parameter));
        }
        let identity = match recipe.classifier {
            Some(prefix) => {
                let weight = Tensor::eye(recipe.features, DType::F32, &device)?;
                let bias = Tensor::zeros(recipe.features, DType::F32, &device)?;
                Some([
                    (format!("{prefix}weight"), weight),
                    (format!("{prefix}bias"), bias),
                ])
            }
            None => None,
        };
        Ok(Self {
            name,
            recipe,
            parameters,
            buffers,
            identity,
            device,
        })
    }

    /// The model on the tensors as they are now.
    fn model(&self) -> Result<Func<'static>> {
        let parameters = self.parameters.iter();
        let parameters = parameters.map(|(name, held)| (name.clone(), held.values().clone()));
        let buffers = self.buffers.iter();
        let buffers = buffers.map(|(name, held)| (name.clone(), held.values().clone()));
        let identity = self.identity.iter().flatten().cloned();
        let tensors = parameters.chain(buffers).chain(identity).collect();
        (self.recipe.make)(VarBuilder::from_tensors(tensors, DType::F32, &self.device))
    }

    /// Multiplications for one picture.
    fn products(&self) -> usize {
        let weights = self.parameters.iter().map(|(_, parameter)| parameter);
        let weights = weights.filter(|parameter| parameter.kind == Kind::Weight);
        let products = weights.map(|weight| {
            let uses = (self.recipe.uses)(&weight.name);
            uses * weight.var.elem_count()
        });
        self.recipe.between + products.sum::<usize>()
    }
}

impl Layer for Extractor {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        if let Some(trace) = pass.trace() {
            // For a summary, which asks for shapes only.
            let n = x.dim(0)?;
            let y = Tensor::zeros((n, self.recipe.features), DType::F32, x.device())?;
            let held: Vec<_> = self.parameters.iter().map(|(_, held)| Some(held)).collect();
            trace.note(self.name, "extractor", &y, &held, n * self.products());
            return Ok(y);
        }
        // candle's models compute in the numbers of their weights.
        let x = cast(pass.tape(), x, DType::F32)?;
        let x = x.detach().permute((0, 3, 1, 2))?.contiguous()?;
        Ok(self.model()?.forward(&x)?.detach())
    }
}

/// The names and shapes of the tensors that the model asks for, in that order, without its classifier.
fn asked(recipe: &Recipe, device: &Device) -> Result<Vec<(String, Vec<usize>)>> {
    let asked = Mutex::default();
    let listener = Listener {
        recipe,
        asked: &asked,
    };
    (recipe.make)(VarBuilder::from_backend(
        Box::new(listener),
        DType::F32,
        device.clone(),
    ))?;
    Ok(asked.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Gives zeros and takes note of what it is asked for.
struct Listener<'a> {
    recipe: &'a Recipe,
    asked: &'a Mutex<Vec<(String, Vec<usize>)>>,
}

impl Listener<'_> {
    fn is_absent(&self, name: &str) -> bool {
        let mut ends = self.recipe.absent.iter();
        ends.any(|end| name.ends_with(end))
    }

    fn none(name: &str) -> Error {
        Error::CannotFindTensor {
            path: name.to_owned(),
        }
    }
}

impl SimpleBackend for Listener<'_> {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        if self.is_absent(name) {
            return Err(Self::none(name));
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if shape.elem_count() == 0 {
            // A kernel of size 0 marks a layer that this kind does not have; its batch norm was asked for before.
            let layer = parent(parent(name));
            asked.retain(|(name, _)| parent(parent(name)) != layer);
            return Err(Self::none(name));
        }
        let known = asked.iter().any(|(known, _)| known == name);
        if !known && !self.recipe.is_classifier(name) {
            asked.push((name.to_owned(), shape.dims().to_vec()));
        }
        // One number in memory, whatever the shape.
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("the model asks for {name} without its shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        !self.is_absent(name)
    }
}

/// The module that a tensor or module belongs to.
fn parent(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(parent, _)| parent)
}

/// What a running statistic starts from, if it is one.
fn running_statistic(name: &str) -> Option<f32> {
    let statistic = name.rsplit('.').next().unwrap_or(name);
    match statistic {
        "running_mean" => Some(0.0),
        "running_var" => Some(1.0),
        _ => None,
    }
}

/// What a parameter does, and what it starts from when there are no weights.
fn role(name: &str, shape: &[usize], all: &[(String, Vec<usize>)]) -> (Kind, Initial) {
    let last = name.rsplit('.').next().unwrap_or(name);
    let scales = |shape: &[usize]| shape.len() == 1;
    match last {
        "weight" if scales(shape) => (Kind::Norm, Initial::Constant(1.0)),
        "weight" => (Kind::Weight, WeightInit::KaimingUniform.initial(shape)),
        "gamma" => (Kind::Norm, Initial::Constant(1.0)),
        "bias" => {
            let weight = format!("{}.weight", parent(name));
            let norm = all
                .iter()
                .any(|(name, shape)| *name == weight && scales(shape));
            let kind = if norm { Kind::Norm } else { Kind::Bias };
            (kind, Initial::Constant(0.0))
        }
        // Tokens and their positions, which are no factors.
        _ => (Kind::Bias, Initial::Normal { std: 0.02 }),
    }
}

#[cfg(test)]
mod tests {
    use candle_nn::{Conv2dConfig, batch_norm, conv2d_no_bias, linear};

    use super::*;
    use crate::init::Init;

    /// A convolution with batch norm, one that isn't there, a scale that isn't there, and a classifier.
    fn recipe() -> Recipe {
        let make = |vb: VarBuilder<'_>| {
            let part = |name: &str, kernel| {
                let norm = batch_norm(2, 1e-5, vb.pp(name).pp("bn"))?;
                let config = Conv2dConfig::default();
                let conv = conv2d_no_bias(3, 2, kernel, config, vb.pp(name).pp("conv"))?;
                Ok::<_, Error>((conv, norm))
            };
            let (conv, norm) = part("there", 1)?;
            assert!(part("missing", 0).is_err());
            assert!(vb.get(2, "there.gamma").is_err());
            let classifier = linear(2, 2, vb.pp("classifier"))?;
            Ok(Func::new(move |x| {
                let y = x.apply(&conv)?.apply_t(&norm, false)?;
                y.mean((2, 3))?.apply(&classifier)
            }))
        };
        Recipe {
            classifier: Some("classifier."),
            absent: &["gamma"],
            publish: |name| name.replace("there.", "stem."),
            ..Recipe::new(2, make, |_| 16)
        }
    }

    fn extractor() -> (Extractor, Vec<Arc<Parameter>>, Vec<Arc<Buffer>>) {
        let init = Init { seed: 0, repeat: 0 };
        let builder = Builder::new(init, &Device::Cpu, true);
        let extractor = Extractor::new(&builder.scope("small"), "small", recipe()).unwrap();
        let (parameters, buffers) = builder.finish();
        (extractor, parameters, buffers)
    }

    #[test]
    fn tensors_are_those_that_the_model_asks_for() {
        let (_, parameters, buffers) = extractor();
        let names: Vec<_> = parameters.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(
            names,
            ["stem.bn.weight", "stem.bn.bias", "stem.conv.weight"]
        );
        let kinds: Vec<_> = parameters.iter().map(|p| p.kind).collect();
        assert_eq!(kinds, [Kind::Norm, Kind::Norm, Kind::Weight]);
        let names: Vec<_> = buffers.iter().map(|b| b.name.as_str()).collect();
        assert_eq!(names, ["stem.bn.running_mean", "stem.bn.running_var"]);
        assert_eq!(parameters[2].var.dims(), [2, 3, 1, 1]);
    }

    #[test]
    fn features_follow_the_weights() {
        let (extractor, parameters, buffers) = extractor();
        let set = |var: &candle_core::Var, values: &[f32]| {
            let values = Tensor::from_slice(values, var.shape(), &Device::Cpu).unwrap();
            var.set(&values).unwrap();
        };
        // (n, h, w, c): two pixels, (1, 2, 3) and (3, 4, 5).
        let x =
            Tensor::from_slice(&[1f32, 2., 3., 3., 4., 5.], (1, 1, 2, 3), &Device::Cpu).unwrap();
        let tape = graft_ops::Tape::disabled();
        let run = || {
            let y = extractor.forward(&x, &Pass::evaluation(&tape)).unwrap();
            y.to_vec2::<f32>().unwrap().remove(0)
        };
        set(&parameters[2].var, &[1., 0., 0., 0., 1., 1.]);
        set(&buffers[1].var, &[1. - 1e-5, 1. - 1e-5]);
        let close = |found: Vec<f32>, expected: [f32; 2]| {
            let near = found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(near, "expected {expected:?}, found {found:?}");
        };
        close(run(), [2., 7.]);
        // Statistics, which candle copies when it builds a model, and weights.
        set(&buffers[0].var, &[2., 3.]);
        set(&buffers[1].var, &[4. - 1e-5, 1. - 1e-5]);
        close(run(), [0., 4.]);
        set(&parameters[2].var, &[0., 0., 1., 0., 1., 1.]);
        close(run(), [1., 4.]);
        assert_eq!(extractor.products(), 16 * 6);
    }
}
