//! A backbone and its head: built, filled with weights, set up for transfer, run.

use std::{collections::BTreeMap, sync::Arc};

use candle_core::{DType, Device, Tensor};
use graft_ops::Tape;

use crate::{
    BatchNormMode, Buffer, Builder, Init, LoadReport, ModelError, ModelSpec, Parameter, Part, Pass,
    ShapeMismatch, Summary, TransferMode, TransferSpec, WeightFile,
    registry::{Backbone, BuildError, Dimensions, Entry, find},
    summary::Trace,
    weights::Fit,
};

/// A network: `forward` is `head` after `features`.
pub struct Network {
    entry: &'static Entry,
    layers: Box<dyn Backbone>,
    parameters: Vec<Arc<Parameter>>,
    buffers: Vec<Arc<Buffer>>,
    transfer: TransferSpec,
    dimensions: Dimensions,
    init: Init,
    device: Device,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("Network");
        text.field("kind", &self.entry.name)
            .field("dimensions", &self.dimensions);
        text.field("transfer", &self.transfer)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// A network for `classes` classes and pictures of `size` × `size` pixels, with initial weights drawn as PyTorch
    /// (and, where it differs, torchvision) draws them. All of it trains, with the batch's statistics.
    ///
    /// # Errors
    /// When there is no such kind, an option makes no sense, or the pictures are too small for it.
    pub fn build(
        spec: &ModelSpec,
        classes: usize,
        size: usize,
        init: &Init,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::assemble(spec, Dimensions { classes, size }, *init, device, true)
    }

    /// A network whose backbone comes from `file` and whose head is new: [`Network::build`] and
    /// [`Network::load_backbone`] without drawing weights that are replaced at once.
    pub fn pretrained(
        spec: &ModelSpec,
        classes: usize,
        size: usize,
        init: &Init,
        device: &Device,
        file: &WeightFile,
    ) -> Result<(Self, LoadReport), ModelError> {
        let mut network = Self::assemble(spec, Dimensions { classes, size }, *init, device, false)?;
        let report = network.load_backbone(file)?;
        Ok((network, report))
    }

    fn assemble(
        spec: &ModelSpec,
        dimensions: Dimensions,
        init: Init,
        device: &Device,
        draw_backbone: bool,
    ) -> Result<Self, ModelError> {
        let entry = find(&spec.kind)?;
        if dimensions.classes == 0 {
            return Err(ModelError::NoClasses);
        }
        let option_error = |error| ModelError::Option {
            kind: spec.kind.clone(),
            error,
        };
        let options = (entry.check)(&spec.options).map_err(option_error)?;
        (entry.check_size)(&options, dimensions.size).map_err(option_error)?;
        let builder = Builder::new(init, device, draw_backbone);
        let layers =
            (entry.build)(&options, dimensions, &builder).map_err(|error| match error {
                BuildError::Option(error) => option_error(error),
                BuildError::Tensor(error) => ModelError::Tensor {
                    action: "build the network",
                    error,
                },
            })?;
        let (parameters, buffers) = builder.finish();
        let transfer = TransferSpec {
            mode: TransferMode::FineTune,
            batch_norm: BatchNormMode::Batch,
            head_lr: 1.0,
        };
        Ok(Self {
            entry,
            layers,
            parameters,
            buffers,
            transfer,
            dimensions,
            init,
            device: device.clone(),
        })
    }

    /// The kind of network.
    pub fn entry(&self) -> &'static Entry {
        self.entry
    }

    /// How many classes it tells apart.
    pub fn classes(&self) -> usize {
        self.dimensions.classes
    }

    /// Fills the backbone from a file and draws a new head as PyTorch's layers draw their defaults, which is what
    /// replacing `model.fc` does there. The file's own classifier is skipped.
    ///
    /// # Errors
    /// When a tensor of the backbone is missing or has another shape, or when the file has a tensor that the
    /// network does not know. Nothing is changed then.
    pub fn load_backbone(&mut self, file: &WeightFile) -> Result<LoadReport, ModelError> {
        let report = self.load(file, Fit::Backbone)?;
        let init = self.init;
        self.renew_head(&init)?;
        Ok(report)
    }

    /// Fills the whole network from a file, the classifier included.
    ///
    /// # Errors
    /// As [`Network::load_backbone`], and when the file's classifier is for another number of classes.
    pub fn load_all(&mut self, file: &WeightFile) -> Result<LoadReport, ModelError> {
        self.load(file, Fit::Whole)
    }

    /// Draws a new head for `init`, as [`Network::pretrained`] does. The backbone stays as it is.
    pub fn renew_head(&mut self, init: &Init) -> Result<(), ModelError> {
        self.init = *init;
        for parameter in self
            .parameters
            .iter()
            .filter(|parameter| parameter.part == Part::Head)
        {
            let drawn = parameter.draw_afresh(self.init, &self.device);
            drawn.map_err(ModelError::tensor("draw the head's initial weights"))?;
        }
        Ok(())
    }

    fn load(&self, file: &WeightFile, fit: Fit) -> Result<LoadReport, ModelError> {
        let tensors = self
            .tensors()
            .map(|(name, part, values)| (name, part, values.dims()))
            .collect::<Vec<_>>();
        let (plan, report) = file.compare(&tensors, self.entry, fit);
        if !report.fits() {
            return Err(ModelError::Weights {
                path: file.path().to_owned(),
                kind: self.entry.name,
                report: Box::new(report),
            });
        }
        // All of the file is read before anything is changed.
        let loaded = plan
            .into_iter()
            .map(|(name, stored)| Ok((name, file.tensor(&stored, &self.device)?)))
            .collect::<Result<BTreeMap<_, _>, ModelError>>()?;
        self.fill(&loaded)?;
        Ok(report)
    }

    /// Sets how the backbone takes part in training. A frozen backbone's parameters are no variables for any tape.
    pub fn set_transfer(&mut self, transfer: &TransferSpec) {
        self.transfer = *transfer;
        for parameter in &self.parameters {
            parameter.set_trainable(
                parameter.part == Part::Head || transfer.mode == TransferMode::FineTune,
            );
        }
    }

    /// How the backbone takes part in training.
    pub fn transfer(&self) -> &TransferSpec {
        &self.transfer
    }

    /// Whether [`Network::features`] of a picture stay the same all through training, so that they can be kept.
    pub fn features_are_fixed(&self) -> bool {
        self.transfer.mode == TransferMode::Frozen
            && self.transfer.batch_norm == BatchNormMode::Running
    }

    /// What the learning rate of this parameter is multiplied with.
    pub fn learning_rate_factor(&self, parameter: &Parameter) -> f64 {
        match parameter.part {
            Part::Backbone => 1.0,
            Part::Head => self.transfer.head_lr,
        }
    }

    /// Pictures `(n, h, w, 3)` to logits `(n, classes)`.
    pub fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor, ModelError> {
        self.head(&self.features(x, pass)?, pass)
    }

    /// Pictures `(n, h, w, 3)` to features `(n, …)`.
    pub fn features(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor, ModelError> {
        if x.rank() != 4 || x.dims()[3] != 3 {
            let expected = "(n, height, width, 3)".to_owned();
            return Err(ModelError::Input {
                kind: self.entry.name,
                expected,
                found: x.dims().to_vec(),
            });
        }
        let still = Tape::disabled();
        let features = self
            .layers
            .features(x, &pass.in_backbone(&self.transfer, &still));
        features.map_err(ModelError::tensor("run the backbone"))
    }

    /// Features `(n, …)` to logits `(n, classes)`.
    pub fn head(&self, features: &Tensor, pass: &Pass<'_>) -> Result<Tensor, ModelError> {
        self.layers
            .head(features, pass)
            .map_err(ModelError::tensor("run the head"))
    }

    /// All parameters, in the order in which the layers were built.
    pub fn parameters(&self) -> &[Arc<Parameter>] {
        &self.parameters
    }

    /// All buffers (running means and variances), in the order in which the layers were built.
    pub fn buffers(&self) -> &[Arc<Buffer>] {
        &self.buffers
    }

    /// Every tensor of the network under torchvision's name, parameters before buffers, in a fixed order. The
    /// tensors share their memory with the network: write them, or copy them, before training goes on.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        self.tensors()
            .map(|(name, _, values)| (name.to_owned(), values.clone()))
            .collect()
    }

    /// The part of [`Network::state`] that training changes: parameters that train, and the running statistics
    /// that are updated.
    pub fn trained_state(&self) -> Vec<(String, Tensor)> {
        let parameters = self
            .parameters
            .iter()
            .filter(|parameter| parameter.trainable());
        let parameters =
            parameters.map(|parameter| (parameter.name.clone(), parameter.values().clone()));
        let batch = self.transfer.batch_norm == BatchNormMode::Batch;
        let buffers = self
            .buffers
            .iter()
            .filter(|buffer| batch || buffer.part == Part::Head);
        let buffers = buffers.map(|buffer| (buffer.name.clone(), buffer.values().clone()));
        parameters.chain(buffers).collect()
    }

    /// Sets every tensor of the network to that of a [`Network::state`].
    ///
    /// # Errors
    /// When a name is missing or unknown or a shape is another one. Nothing is changed then.
    pub fn restore(&self, state: &BTreeMap<String, Tensor>) -> Result<(), ModelError> {
        self.restore_exactly(&self.state(), state)
    }

    /// Sets the tensors that training changes to those of a [`Network::trained_state`].
    ///
    /// # Errors
    /// As [`Network::restore`].
    pub fn restore_trained(&self, state: &BTreeMap<String, Tensor>) -> Result<(), ModelError> {
        self.restore_exactly(&self.trained_state(), state)
    }

    fn restore_exactly(
        &self,
        own: &[(String, Tensor)],
        state: &BTreeMap<String, Tensor>,
    ) -> Result<(), ModelError> {
        let own: BTreeMap<&str, &Tensor> = own
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
            .collect();
        let missing: Vec<String> = own
            .keys()
            .filter(|name| !state.contains_key(**name))
            .map(|&name| name.to_owned())
            .collect();
        let unexpected: Vec<String> = state
            .keys()
            .filter(|name| !own.contains_key(name.as_str()))
            .cloned()
            .collect();
        let wrong_shape: Vec<ShapeMismatch> = own
            .iter()
            .filter_map(|(&name, own)| Some((name, own, state.get(name)?)))
            .filter(|(_, own, found)| own.dims() != found.dims())
            .map(|(name, own, found)| ShapeMismatch {
                name: name.to_owned(),
                expected: own.dims().to_vec(),
                found: found.dims().to_vec(),
            })
            .collect();
        if missing.is_empty() && unexpected.is_empty() && wrong_shape.is_empty() {
            return self.fill(state);
        }
        Err(ModelError::State {
            kind: self.entry.name,
            missing,
            unexpected,
            wrong_shape,
        })
    }

    /// Copies `values` into the network's tensors of the same names.
    fn fill(&self, values: &BTreeMap<String, Tensor>) -> Result<(), ModelError> {
        let parameters = self
            .parameters
            .iter()
            .map(|parameter| (&parameter.name, &parameter.var));
        let buffers = self
            .buffers
            .iter()
            .map(|buffer| (&buffer.name, &buffer.var));
        for (name, var) in parameters.chain(buffers) {
            let Some(value) = values.get(name) else {
                continue;
            };
            // A copy, as `value` may be the network's own tensor.
            let copied = value
                .copy()
                .and_then(|value| value.to_dtype(DType::F32)?.to_device(&self.device))
                .and_then(|value| var.set(&value));
            copied.map_err(ModelError::tensor("copy weights into the network"))?;
        }
        Ok(())
    }

    /// Name, part and values of every parameter and buffer.
    fn tensors(&self) -> impl Iterator<Item = (&str, Part, &Tensor)> {
        let parameters = self.parameters.iter();
        let parameters = parameters.map(|p| (p.name.as_str(), p.part, p.values()));
        let buffers = self
            .buffers
            .iter()
            .map(|b| (b.name.as_str(), b.part, b.values()));
        parameters.chain(buffers)
    }

    /// Mean and standard deviation of each colour that inputs are normalised with.
    pub fn normalization(&self) -> ([f32; 3], [f32; 3]) {
        (self.entry.mean, self.entry.std)
    }

    /// About how many bytes the largest layer's output takes. The first convolution counts at the pictures' size and each
    /// later one at half of the one before: that is a convnet; of the others, whose first step is 2, it is more than enough.
    fn largest_layer(&self, batch: usize) -> u64 {
        let convolutions = self
            .parameters
            .iter()
            .filter(|parameter| parameter.values().rank() == 4);
        let maps = convolutions
            .zip(0u32..)
            .map(|(weight, above)| weight.values().dims()[0] as u64 >> (2 * above).min(63));
        let maps = maps.max().unwrap_or(0).max(3);
        let pixels = (batch as u64).saturating_mul((self.dimensions.size as u64).saturating_pow(2));
        pixels.saturating_mul(maps).saturating_mul(4)
    }

    /// The layers with their shapes for a batch of `batch` pictures, found by running one evaluation pass.
    ///
    /// # Errors
    /// When one layer would take more than 8 GiB, by a rough estimate.
    pub fn summary(&self, batch: usize) -> Result<Summary, ModelError> {
        let size = self.dimensions.size;
        let (bytes, limit_gib) = (self.largest_layer(batch), 8);
        if bytes > limit_gib << 30 {
            return Err(ModelError::LargeBatch {
                kind: self.entry.name,
                batch,
                size,
                gib: bytes.div_ceil(1 << 30),
                limit_gib,
            });
        }
        let x = Tensor::zeros((batch, size, size, 3), DType::F32, &self.device);
        let x = x.map_err(ModelError::tensor("make an input for the summary"))?;
        let (tape, trace) = (Tape::disabled(), Trace::default());
        self.forward(&x, &Pass::evaluation(&tape).with_trace(&trace))?;
        Ok(Summary {
            kind: self.entry.name,
            input: vec![batch, 3, size, size],
            layers: trace.into_rows(),
            buffers: self
                .buffers
                .iter()
                .map(|buffer| buffer.var.elem_count())
                .sum(),
        })
    }
}
