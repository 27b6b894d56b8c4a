//! What an experiment says about its networks: the kind, its weights and how they are transferred.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A network as declared: a kind from the [registry](crate::registry) and its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// The kind, such as `resnet18`.
    pub kind: String,
    /// The options of that kind, with every default filled in.
    pub options: toml::Table,
    /// The last layer of the backbone that is kept, such as `layer3`: the head comes right behind it. `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// A head in place of the published one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadSpec>,
}

impl ModelSpec {
    /// The whole backbone with its published head.
    pub fn new(kind: impl Into<String>, options: toml::Table) -> Self {
        Self {
            kind: kind.into(),
            options,
            cut: None,
            head: None,
        }
    }
}

/// A head of fully connected layers: the mean of each map, hidden layers with rectifiers, dropout, and a linear layer for the
/// classes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeadSpec {
    /// Units of each hidden layer.
    pub hidden: Vec<usize>,
    /// Probability of dropping an input of the last layer in training.
    pub dropout: f64,
}

/// How the layers that came with weights take part in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferSpec {
    /// Whether the backbone trains.
    pub mode: TransferMode,
    /// Which statistics the backbone's batch norm uses in training.
    pub batch_norm: BatchNormMode,
    /// Multiplies the learning rate of the head.
    pub head_lr: f64,
    /// The last layer of the backbone, such as `layer2`, that stays as it is although the backbone trains. `None` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<String>,
    /// Multiplies the learning rate of each layer of the backbone once for every layer behind it, the head included, as timm's
    /// `layer_decay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_decay: Option<f64>,
    /// Multiplies the learning rate of layers of the backbone, such as `layer1`, by these; of nested ones the inner counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layer_lr: BTreeMap<String, f64>,
}

impl TransferSpec {
    /// All of the backbone in this mode, with the mode's usual statistics.
    pub fn of(mode: TransferMode) -> Self {
        let batch_norm = match mode {
            TransferMode::FineTune => BatchNormMode::Batch,
            TransferMode::Frozen => BatchNormMode::Running,
        };
        Self {
            mode,
            batch_norm,
            head_lr: 1.0,
            freeze: None,
            layer_decay: None,
            layer_lr: BTreeMap::new(),
        }
    }
}

/// Whether the backbone trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransferMode {
    /// Backbone and head train. Without weights this is training from scratch.
    FineTune,
    /// The backbone stays as it is, in evaluation mode; only the head trains.
    Frozen,
}

/// Which statistics batch norm uses in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchNormMode {
    /// Those of the batch, which also update the running ones: PyTorch's training mode.
    Batch,
    /// The running ones, which stay fixed.
    Running,
}

/// Where weights come from, as written in the experiment file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WeightsSpec {
    /// `hf:OWNER/REPO[@REVISION][/FILE]`, a file on the Hugging Face hub.
    Hub {
        /// `OWNER/REPO`.
        repo: String,
        /// Branch, tag or commit; `main` if none is given.
        revision: Option<String>,
        /// File in the repository; `model.safetensors` if none is given.
        file: Option<String>,
    },
    /// `https://…`
    Url(String),
    /// `file:PATH`, looked up in the weights folders unless absolute.
    File(String),
    /// `trial:EXPERIMENT/VARIANT`, the best checkpoint of another experiment's trial.
    Trial {
        /// Name of the experiment.
        experiment: String,
        /// Name of its variant.
        variant: String,
    },
}

/// Weights that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` does not say where weights are: expected {expected}")]
pub struct WeightsSpecError {
    /// The text as written.
    pub text: String,
    /// What was expected.
    pub expected: &'static str,
}

impl FromStr for WeightsSpec {
    type Err = WeightsSpecError;

    fn from_str(text: &str) -> Result<Self, WeightsSpecError> {
        let error = |expected| WeightsSpecError {
            text: text.to_owned(),
            expected,
        };
        if let Some(rest) = text.strip_prefix("hf:") {
            let expected = "`hf:OWNER/REPO[@REVISION][/FILE]`";
            let mut parts = rest.splitn(3, '/');
            let owner = parts.next().unwrap_or("");
            let name = parts.next().unwrap_or("");
            let file = parts.next().map(str::to_owned);
            let (name, revision) = match name.split_once('@') {
                Some((name, revision)) => (name, Some(revision.to_owned())),
                None => (name, None),
            };
            let empty = owner.is_empty()
                || name.is_empty()
                || file.as_deref() == Some("")
                || revision.as_deref() == Some("");
            if empty {
                return Err(error(expected));
            }
            return Ok(Self::Hub {
                repo: format!("{owner}/{name}"),
                revision,
                file,
            });
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Ok(Self::Url(text.to_owned()));
        }
        if let Some(path) = text.strip_prefix("file:") {
            return if path.is_empty() {
                Err(error("`file:PATH`"))
            } else {
                Ok(Self::File(path.to_owned()))
            };
        }
        if let Some(rest) = text.strip_prefix("trial:") {
            return match rest.split_once('/') {
                Some((experiment, variant)) if !experiment.is_empty() && !variant.is_empty() => {
                    Ok(Self::Trial {
                        experiment: experiment.to_owned(),
                        variant: variant.to_owned(),
                    })
                }
                _ => Err(error("`trial:EXPERIMENT/VARIANT`")),
            };
        }
        Err(error(
            "`hf:OWNER/REPO`, `https://…`, `file:PATH` or `trial:EXPERIMENT/VARIANT`",
        ))
    }
}

impl fmt::Display for WeightsSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub {
                repo,
                revision,
                file,
            } => {
                write!(f, "hf:{repo}")?;
                if let Some(revision) = revision {
                    write!(f, "@{revision}")?;
                }
                if let Some(file) = file {
                    write!(f, "/{file}")?;
                }
                Ok(())
            }
            Self::Url(url) => f.write_str(url),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Trial {
                experiment,
                variant,
            } => write!(f, "trial:{experiment}/{variant}"),
        }
    }
}

impl Serialize for WeightsSpec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WeightsSpec {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
