//! A backbone and its head: built, filled with weights, set up for transfer, run.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use candle_core::{DType, Device, Tensor};
use graft_ops::{Tape, cast};

use crate::{
    BatchNormMode, Buffer, Builder, Init, LoadReport, ModelError, ModelSpec, OptionError,
    Parameter, Part, Pass, Precision, ShapeMismatch, Summary, TransferMode, TransferSpec,
    WeightFile,
    assembly::{Assembly, Owner, Stages},
    registry::{BuildError, Dimensions, Entry, find},
    summary::{LayerRow, Trace},
    weights::Fit,
};

/// A network: `forward` is `head` after `features`.
pub struct Network {
    entry: &'static Entry,
    layers: Stages,
    parameters: Vec<Arc<Parameter>>,
    buffers: Vec<Arc<Buffer>>,
    /// Names of tensors behind the layer at which the network was cut.
    left_out: HashSet<String>,
    transfer: TransferSpec,
    /// Stages from the pictures on that stay as they are.
    frozen: usize,
    /// What the learning rate of each stage is multiplied with.
    rates: Vec<f64>,
    dimensions: Dimensions,
    init: Init,
    device: Device,
    precision: Precision,
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

    /// A network that comes from `file` as a whole, its classifier included.
    ///
    /// # Errors
    /// As [`Network::build`] and [`Network::load_all`].
    pub fn trained(
        spec: &ModelSpec,
        classes: usize,
        size: usize,
        device: &Device,
        file: &WeightFile,
    ) -> Result<Self, ModelError> {
        // Only auxiliary classifiers that the file lacks are drawn, which nothing but training looks at.
        let init = Init { seed: 0, repeat: 1 };
        let mut network = Self::assemble(spec, Dimensions { classes, size }, init, device, false)?;
        network.load_all(file)?;
        Ok(network)
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
        let mut assembly = Assembly::new(
            &builder,
            dimensions,
            spec.cut.as_deref(),
            spec.head.as_ref(),
        );
        let layers = (entry.build)(&options, &mut assembly).and_then(|()| assembly.finish());
        let layers = layers.map_err(|error| match error {
            BuildError::Option(error) => option_error(error),
            BuildError::Tensor(error) => ModelError::Tensor {
                action: "build the network",
                error,
            },
        })?;
        let left_out = builder.names_left_out().into_iter().collect();
        let (parameters, buffers) = builder.finish();
        Ok(Self {
            entry,
            layers,
            parameters,
            buffers,
            left_out,
            transfer: TransferSpec::of(TransferMode::FineTune),
            frozen: 0,
            rates: Vec::new(),
            dimensions,
            init,
            device: device.clone(),
            precision: Precision::F32,
        })
    }

    /// The kind of network.
    pub fn entry(&self) -> &'static Entry {
        self.entry
    }

    /// Checks that a network can be cut as `spec` says, and has the layers that `transfer` names, for pictures of `size` × `size`
    /// pixels.
    ///
    /// # Errors
    /// As [`Network::build`] and [`Network::set_transfer`].
    pub fn check(spec: &ModelSpec, transfer: &TransferSpec, size: usize) -> Result<(), ModelError> {
        Self::problems(spec, transfer, size)
            .into_iter()
            .next()
            .map_or(Ok(()), Err)
    }

    /// Everything that [`Self::check`] could say.
    pub fn problems(spec: &ModelSpec, transfer: &TransferSpec, size: usize) -> Vec<ModelError> {
        let dimensions = Dimensions { classes: 2, size };
        let init = Init { seed: 0, repeat: 0 };
        let mut network = match Self::assemble(spec, dimensions, init, &Device::Cpu, false) {
            Ok(network) => network,
            // What is said of other layers holds for the whole network, too.
            Err(error) if spec.cut.is_some() => {
                let whole = ModelSpec {
                    cut: None,
                    ..spec.clone()
                };
                let others = Self::problems(&whole, transfer, size);
                return std::iter::once(error).chain(others).collect();
            }
            Err(error) => return vec![error],
        };
        let problems = network.layers.problems(transfer).into_iter();
        let problems: Vec<ModelError> = problems.map(|e| network.option_error(e)).collect();
        if problems.is_empty() {
            return network.set_transfer(transfer).err().into_iter().collect();
        }
        problems
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
        self.draw(*init, |parameter| parameter.part == Part::Head)
    }

    /// Draws some parameters afresh.
    fn draw(&self, init: Init, which: impl Fn(&Parameter) -> bool) -> Result<(), ModelError> {
        for parameter in self.parameters.iter().filter(|parameter| which(parameter)) {
            let drawn = parameter.draw_afresh(init, &self.device);
            drawn.map_err(ModelError::tensor("draw initial weights"))?;
        }
        Ok(())
    }

    fn load(&self, file: &WeightFile, fit: Fit) -> Result<LoadReport, ModelError> {
        let tensors = self
            .tensors()
            .map(|(name, part, values)| (name, part, values.dims()))
            .collect::<Vec<_>>();
        let (plan, report) = file.compare(&tensors, &self.left_out, self.entry, fit);
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
        self.draw(self.init, |parameter| {
            report.drawn.contains(&parameter.name)
        })?;
        Ok(report)
    }

    /// Sets how the backbone takes part in training. Frozen parameters are no variables for any tape.
    ///
    /// # Errors
    /// When it is to be frozen up to a layer that it does not have.
    pub fn set_transfer(&mut self, transfer: &TransferSpec) -> Result<(), ModelError> {
        let frozen = match (&transfer.freeze, transfer.mode) {
            (_, TransferMode::Frozen) => Ok(self.layers.len()),
            (None, TransferMode::FineTune) => Ok(0),
            (Some(layer), TransferMode::FineTune) => self.layers.up_to(layer),
        };
        if self.entry.extractor {
            check_extractor(transfer).map_err(|error| self.option_error(error))?;
        }
        let rates = self
            .layers
            .rates(transfer.layer_decay, &transfer.layer_lr)
            .map_err(|error| self.option_error(error))?;
        self.frozen = frozen.map_err(|error| self.option_error(error))?;
        self.rates = rates;
        self.transfer = transfer.clone();
        for parameter in &self.parameters {
            parameter.set_trainable(match self.layers.owner(&parameter.name) {
                Owner::Stage(stage) | Owner::Auxiliary(stage) => stage >= self.frozen,
                Owner::Head => true,
            });
        }
        Ok(())
    }

    fn option_error(&self, error: OptionError) -> ModelError {
        ModelError::Option {
            kind: self.entry.name.to_owned(),
            error,
        }
    }

    /// The last layer of the backbone.
    pub fn last_layer(&self) -> &str {
        self.layers.last()
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
        match self.layers.owner(&parameter.name) {
            // Nothing is set for a network that was just built.
            Owner::Stage(stage) => self.rates.get(stage).copied().unwrap_or(1.0),
            Owner::Auxiliary(_) | Owner::Head if parameter.part == Part::Backbone => 1.0,
            Owner::Auxiliary(_) | Owner::Head => self.transfer.head_lr,
        }
    }

    /// Pictures `(n, h, w, 3)` to logits `(n, classes)`.
    pub fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor, ModelError> {
        self.head_in_precision(&self.features_in_precision(x, pass)?, pass)
    }

    /// Pictures `(n, h, w, 3)` to features `(n, …)`, 32-bit floats.
    pub fn features(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor, ModelError> {
        let features = self.features_in_precision(x, pass)?;
        cast(pass.tape(), &features, DType::F32).map_err(ModelError::tensor("run the backbone"))
    }

    /// Pictures to features in the type of the precision.
    fn features_in_precision(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor, ModelError> {
        if x.rank() != 4 || x.dims()[3] != 3 {
            let expected = "(n, height, width, 3)".to_owned();
            return Err(ModelError::Input {
                kind: self.entry.name,
                expected,
                found: x.dims().to_vec(),
            });
        }
        let (frozen, still) = (self.frozen, Tape::disabled());
        // Layers that stay as they are, although others train, are in evaluation mode.
        let statistics = match self.transfer.mode {
            TransferMode::Frozen => self.transfer.batch_norm,
            TransferMode::FineTune => BatchNormMode::Running,
        };
        let features = cast(pass.tape(), x, self.precision.activations())
            .and_then(|x| {
                let pass = pass.in_frozen(statistics, &still);
                self.layers.run(0..frozen, &x, &pass)
            })
            .and_then(|x| {
                let pass = pass.in_backbone(self.transfer.batch_norm);
                self.layers.run(frozen..self.layers.len(), &x, &pass)
            });
        features.map_err(ModelError::tensor("run the backbone"))
    }

    /// Features `(n, …)` to logits `(n, classes)`, 32-bit floats both.
    pub fn head(&self, features: &Tensor, pass: &Pass<'_>) -> Result<Tensor, ModelError> {
        let features = cast(pass.tape(), features, self.precision.activations())
            .map_err(ModelError::tensor("run the head"))?;
        self.head_in_precision(&features, pass)
    }

    /// Features in the type of the precision to logits, 32-bit floats.
    fn head_in_precision(&self, features: &Tensor, pass: &Pass<'_>) -> Result<Tensor, ModelError> {
        self.layers
            .head(features, pass)
            .and_then(|logits| cast(pass.tape(), &logits, DType::F32))
            .map_err(ModelError::tensor("run the head"))
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Computes with these numbers from now on. Only GPUs know others than 32-bit floats.
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
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
        let buffers = self.buffers.iter().filter(|buffer| self.updates(buffer));
        let buffers = buffers.map(|buffer| (buffer.name.clone(), buffer.values().clone()));
        parameters.chain(buffers).collect()
    }

    /// Whether training updates these running statistics.
    fn updates(&self, buffer: &Buffer) -> bool {
        let batch = self.transfer.batch_norm == BatchNormMode::Batch;
        match (self.layers.owner(&buffer.name), self.transfer.mode) {
            (Owner::Head, _) => true,
            (_, TransferMode::Frozen) => batch,
            (Owner::Stage(stage) | Owner::Auxiliary(stage), TransferMode::FineTune) => {
                batch && stage >= self.frozen
            }
        }
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

    /// The layers with their shapes for a batch of `batch` pictures, found by running one evaluation pass. Second
    /// classifiers, which only training uses, come last, without multiplications.
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
        let mut layers = trace.into_rows();
        if !self.entry.auxiliary.is_empty() {
            // They are a part of the network while it trains, and do nothing in a forward pass.
            let (found, trace) = (RefCell::default(), Trace::default());
            let pass = Pass::evaluation(&tape).with_auxiliaries(&found);
            self.forward(&x, &pass.with_trace(&trace))?;
            let known: HashSet<String> = layers.iter().map(|row| row.name.clone()).collect();
            let more = trace.into_rows().into_iter();
            let more = more.filter(|row| !known.contains(&row.name));
            layers.extend(more.map(|row| LayerRow {
                multiply_adds: 0,
                ..row
            }));
        }
        Ok(Summary {
            kind: self.entry.name,
            input: vec![batch, 3, size, size],
            layers,
            buffers: self
                .buffers
                .iter()
                .map(|buffer| buffer.var.elem_count())
                .sum(),
        })
    }
}

/// Whether a fixed extractor of features is used as one.
fn check_extractor(transfer: &TransferSpec) -> Result<(), OptionError> {
    if transfer.mode == TransferMode::FineTune {
        let expected = "`frozen`: it can't be trained";
        return Err(OptionError::new("transfer", expected, "`fine-tune`"));
    }
    if transfer.batch_norm == BatchNormMode::Batch {
        let expected = "`running`: it can't use the batch's statistics";
        return Err(OptionError::new("batch_norm", expected, "`batch`"));
    }
    Ok(())
}
