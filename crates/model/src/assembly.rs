//! A network put together from stages: where its backbone can be cut and frozen, and what comes on top.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
};

use candle_core::{Result, Tensor};

use crate::{
    Builder, Dimensions, HeadSpec, OptionError, Pass,
    layers::{Activation, Dropout, GlobalAvgPool, Layer, Linear, Sequential},
};

/// What comes out of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// `(n, h, w, c)` with so many channels.
    Maps(usize),
    /// `(n, k)` of this length.
    Vector(usize),
}

/// Layers of the backbone that are cut, frozen and named together.
struct Stage {
    name: String,
    layer: Box<dyn Layer>,
    auxiliary: Option<Auxiliary>,
}

/// A second classifier on the output of a stage, which takes part in training only.
struct Auxiliary {
    layer: Box<dyn Layer>,
    /// What its loss is multiplied with.
    weight: f64,
}

/// Which layers a parameter or buffer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The stage of this number.
    Stage(usize),
    /// The second classifier on the stage of this number.
    Auxiliary(usize),
    /// The head.
    Head,
}

/// A network while it is put together: stages from the pictures on, then the head.
///
/// Behind the stage at which the network is cut, layers are built for their names only and left out.
pub struct Assembly<'a> {
    builder: &'a Builder,
    dimensions: Dimensions,
    cut: Option<&'a str>,
    custom: Option<&'a HeadSpec>,
    stages: Vec<Stage>,
    /// The names of all stages, also of those that are left out.
    names: Vec<String>,
    output: Output,
    owners: HashMap<String, Owner>,
    head: Option<Sequential>,
}

impl<'a> Assembly<'a> {
    pub(crate) fn new(
        builder: &'a Builder,
        dimensions: Dimensions,
        cut: Option<&'a str>,
        custom: Option<&'a HeadSpec>,
    ) -> Self {
        Self {
            builder,
            dimensions,
            cut,
            custom,
            stages: Vec::new(),
            names: Vec::new(),
            output: Output::Maps(3),
            owners: HashMap::new(),
            head: None,
        }
    }

    /// What the network is built for.
    pub fn dimensions(&self) -> Dimensions {
        self.dimensions
    }

    /// Adds a stage. `name` is that of its last module in the peer's tree, such as `layer1.0`; `make` gets the builder of that
    /// scope.
    pub fn stage<L: Layer + 'static>(
        &mut self,
        name: &str,
        output: Output,
        make: impl FnOnce(&Builder) -> Result<L>,
    ) -> Result<()> {
        let past = self.is_past_the_cut(name);
        self.names.push(name.to_owned());
        let owner = Owner::Stage(self.stages.len());
        let layer = self.make(past, owner, |builder| make(&builder.scope(name)))?;
        if !past {
            self.output = output;
            self.stages.push(Stage {
                name: name.to_owned(),
                layer: Box::new(layer),
                auxiliary: None,
            });
        }
        Ok(())
    }

    /// Puts a second classifier on the output of the last stage: its logits join the loss in training, multiplied with
    /// `weight` (Szegedy et al. 2014). What depends on the number of classes belongs to the head ([`Builder::head`]).
    pub fn auxiliary<L: Layer + 'static>(
        &mut self,
        name: &str,
        weight: f64,
        make: impl FnOnce(&Builder, usize) -> Result<L>,
    ) -> Result<()> {
        let past = self.names.len() > self.stages.len();
        let owner = Owner::Auxiliary(self.stages.len().saturating_sub(1));
        let classes = self.dimensions.classes;
        let layer = self.make(past, owner, |builder| make(&builder.scope(name), classes))?;
        if let (false, Some(stage)) = (past, self.stages.last_mut()) {
            stage.auxiliary = Some(Auxiliary {
                layer: Box::new(layer),
                weight,
            });
        }
        Ok(())
    }

    /// Adds the published head; `make` gets the builder without a scope, and the number of classes. A cut network, or one with a
    /// head of its own, gets another one.
    pub fn head(&mut self, make: impl FnOnce(&Builder, usize) -> Result<Sequential>) -> Result<()> {
        let classes = self.dimensions.classes;
        let published = self.cut.is_none() && self.custom.is_none();
        let head = self.make(!published, Owner::Head, |builder| {
            make(&builder.head(), classes)
        })?;
        if published {
            self.head = Some(head);
        }
        Ok(())
    }

    fn is_past_the_cut(&self, name: &str) -> bool {
        let last = self.names.last().map_or("", String::as_str);
        let left_out = self.names.len() > self.stages.len();
        left_out
            || self
                .cut
                .is_some_and(|cut| belongs(last, cut) && !belongs(name, cut))
    }

    /// Makes layers and notes whose their tensors are.
    fn make<L>(
        &mut self,
        left_out: bool,
        owner: Owner,
        make: impl FnOnce(&Builder) -> Result<L>,
    ) -> Result<L> {
        let builder = if left_out {
            self.builder.leaving_out()
        } else {
            self.builder.clone()
        };
        let before = builder.made();
        let layer = make(&builder)?;
        for name in builder.names_since(before) {
            self.owners.insert(name, owner);
        }
        Ok(layer)
    }

    /// Ends the network with its head.
    ///
    /// # Errors
    /// When it was to be cut at a layer that it does not have.
    pub(crate) fn finish(mut self) -> std::result::Result<Stages, crate::BuildError> {
        if let Some(cut) = self.cut {
            find(&self.names, "cut", cut)?;
        }
        let head = if let Some(published) = self.head.take() {
            published
        } else {
            let plain = HeadSpec::default();
            let spec = self.custom.unwrap_or(&plain);
            let (output, classes) = (self.output, self.dimensions.classes);
            self.make(false, Owner::Head, |builder| {
                head_on(output, classes, spec, &builder.head().scope("head"))
            })?
        };
        Ok(Stages {
            names: self.names,
            backbone: self.stages,
            head,
            owners: self.owners,
        })
    }
}

/// The mean of each map if there are maps, hidden layers, and a linear layer for the classes.
fn head_on(
    output: Output,
    classes: usize,
    spec: &HeadSpec,
    builder: &Builder,
) -> Result<Sequential> {
    let mut head = Sequential::new();
    let mut inputs = match output {
        Output::Maps(channels) => {
            head.push(GlobalAvgPool::new(&builder.scope("pool")));
            channels
        }
        Output::Vector(len) => len,
    };
    for (i, &units) in spec.hidden.iter().enumerate() {
        let scope = |name: &str| builder.scope(format!("{name}{}", i + 1));
        head.push(Linear::new(&scope("hidden"), inputs, units)?);
        head.push(Activation::relu(&scope("relu")));
        inputs = units;
    }
    head.push(Dropout::new(&builder.scope("dropout"), spec.dropout));
    Ok(head.with(Linear::new(&builder.scope("fc"), inputs, classes)?))
}

/// Whether a stage is the layer called `layer` or a part of it.
fn belongs(stage: &str, layer: &str) -> bool {
    stage
        .strip_prefix(layer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The number of the last stage that belongs to the layer `name`.
fn find(names: &[String], key: &str, name: &str) -> std::result::Result<usize, OptionError> {
    names
        .iter()
        .rposition(|stage| belongs(stage, name))
        .ok_or_else(|| {
            let expected = format!("one of {}", layer_names(names).join(", "));
            OptionError::new(key, expected, format!("`{name}`"))
        })
}

/// What a backbone can be cut or frozen at: every stage, and every group of stages, in their order.
fn layer_names(stages: &[String]) -> Vec<&str> {
    let mut names = Vec::new();
    for stage in stages {
        let parts = stage.match_indices('.').map(|(at, _)| &stage[..at]);
        for name in parts.chain([stage.as_str()]) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// The layers of a network: its stages, and the head.
pub(crate) struct Stages {
    /// The names of all stages, also of those behind the cut.
    names: Vec<String>,
    backbone: Vec<Stage>,
    head: Sequential,
    owners: HashMap<String, Owner>,
}

impl Stages {
    /// Whose the tensor called `name` is.
    pub(crate) fn owner(&self, name: &str) -> Owner {
        self.owners.get(name).copied().unwrap_or(Owner::Head)
    }

    /// How many stages there are.
    pub(crate) fn len(&self) -> usize {
        self.backbone.len()
    }

    /// How many stages there are up to the layer called `name`, it included.
    pub(crate) fn up_to(&self, name: &str) -> std::result::Result<usize, OptionError> {
        let kept = &self.names[..self.backbone.len()];
        find(kept, "freeze", name).map(|last| last + 1)
    }

    /// Every layer in `transfer` that is not there, or whose rate would change nothing since it is frozen.
    pub(crate) fn problems(&self, transfer: &crate::TransferSpec) -> Vec<OptionError> {
        let kept = &self.names[..self.backbone.len()];
        let mut problems = Vec::new();
        let mut frozen = 0;
        match transfer.freeze.as_ref().map(|layer| self.up_to(layer)) {
            Some(Ok(stages)) => frozen = stages,
            Some(Err(error)) => problems.push(error),
            None => {}
        }
        for name in transfer.layer_lr.keys() {
            match find(kept, "layer_lr", name) {
                Ok(last) if last < frozen => problems.push(OptionError::new(
                    "layer_lr",
                    format!(
                        "a layer behind `{}`, up to which nothing trains",
                        transfer.freeze.as_deref().unwrap_or_default()
                    ),
                    format!("`{name}`"),
                )),
                Ok(_) => {}
                Err(error) => problems.push(error),
            }
        }
        problems
    }

    /// What the learning rate of each stage is multiplied with.
    pub(crate) fn rates(
        &self,
        decay: Option<f64>,
        layers: &BTreeMap<String, f64>,
    ) -> std::result::Result<Vec<f64>, OptionError> {
        let kept = &self.names[..self.backbone.len()];
        for name in layers.keys() {
            find(kept, "layer_lr", name)?;
        }
        // Those that have something to learn.
        let weighted: BTreeSet<usize> = self
            .owners
            .values()
            .filter_map(|owner| match owner {
                Owner::Stage(stage) => Some(*stage),
                Owner::Auxiliary(_) | Owner::Head => None,
            })
            .collect();
        let rate = |(stage, name): (usize, &String)| {
            let behind = weighted.range(stage + 1..).count() + 1;
            let decayed = decay.map_or(1.0, |decay| decay.powi(behind as i32));
            let named = layers.iter().filter(|(layer, _)| belongs(name, layer));
            let inner = named.max_by_key(|(layer, _)| layer.len());
            decayed * inner.map_or(1.0, |(_, factor)| *factor)
        };
        Ok(kept.iter().enumerate().map(rate).collect())
    }

    /// Runs some stages. Those that train give what their second classifiers found to the pass.
    pub(crate) fn run(&self, range: Range<usize>, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let mut x = x.clone();
        for stage in &self.backbone[range] {
            x = stage.layer.forward(&x, pass)?;
            if let (Some(auxiliary), Some(found)) = (&stage.auxiliary, pass.auxiliaries()) {
                let logits = auxiliary.layer.forward(&x, pass)?;
                found.borrow_mut().push((logits, auxiliary.weight));
            }
        }
        Ok(x)
    }

    /// Runs the head.
    pub(crate) fn head(&self, features: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        self.head.forward(features, pass)
    }

    /// The name of the last stage.
    pub(crate) fn last(&self) -> &str {
        self.backbone.last().map_or("", |stage| &stage.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_found_by_whole_names() {
        let stages = ["conv1", "layer1.0", "layer1.1", "layer10.0", "avgpool"].map(str::to_owned);
        assert_eq!(find(&stages, "cut", "layer1").unwrap(), 2);
        assert_eq!(find(&stages, "cut", "layer1.0").unwrap(), 1);
        assert_eq!(
            find(&stages, "cut", "layer").unwrap_err().to_string(),
            "`cut`: expected one of conv1, layer1, layer1.0, layer1.1, layer10, layer10.0, avgpool, found `layer`"
        );
    }
}
