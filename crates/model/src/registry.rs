//! The kinds of network there are. Each is one file in `backbones/` and one line here.

use toml::Table;

use crate::{
    Assembly, ModelError, OptionError,
    backbones::{
        alexnet, convnet, convnext, dinov2, googlenet, inception_v3, lenet5, mobilenet_v1,
        mobilenet_v2, mobilenet_v3, mobilenetv4, resnet, squeezenet, tf_efficientnet, vgg, vit,
        xception,
    },
    options::OptionInfo,
};

static REGISTRY: &[Entry] = &[
    alexnet::ENTRY,
    convnet::ENTRY,
    googlenet::ENTRY,
    inception_v3::ENTRY,
    lenet5::ENTRY,
    mobilenet_v1::ENTRY,
    mobilenet_v2::ENTRY,
    mobilenet_v3::SMALL,
    mobilenet_v3::LARGE,
    resnet::RESNET18,
    resnet::RESNET34,
    resnet::RESNET50,
    resnet::RESNET101,
    resnet::RESNET152,
    squeezenet::SQUEEZENET1_0,
    squeezenet::SQUEEZENET1_1,
    vgg::VGG11,
    vgg::VGG11_BN,
    vgg::VGG13,
    vgg::VGG13_BN,
    vgg::VGG16,
    vgg::VGG16_BN,
    vgg::VGG19,
    vgg::VGG19_BN,
    xception::ENTRY,
    convnext::ATTO,
    convnext::FEMTO,
    convnext::PICO,
    convnext::NANO,
    convnext::TINY,
    convnext::SMALL,
    convnext::BASE,
    mobilenetv4::SMALL,
    mobilenetv4::MEDIUM,
    mobilenetv4::LARGE,
    tf_efficientnet::B0,
    tf_efficientnet::B1,
    tf_efficientnet::B2,
    tf_efficientnet::B3,
    tf_efficientnet::B4,
    dinov2::VITS14,
    vit::BASE_PATCH16_224,
];

/// Mean of each colour over ImageNet, as torchvision's weights expect it.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of each colour over ImageNet, as torchvision's weights expect it.
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Pretrained weights of a network.
#[derive(Clone, Copy, Debug)]
pub struct WeightSource {
    /// Where they are, as in the experiment file.
    pub spec: &'static str,
    /// What they were trained on.
    pub trained_on: &'static str,
}

/// What a network is built for.
#[derive(Clone, Copy, Debug)]
pub struct Dimensions {
    /// Classes to tell apart.
    pub classes: usize,
    /// Height and width of the pictures in pixels.
    pub size: usize,
}

/// One kind of network: what it is, what it expects, where its weights are, and how it is built.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its name in the experiment file.
    pub name: &'static str,
    /// What it is and where it comes from, in one line.
    pub about: &'static str,
    /// Its options.
    pub options: &'static [OptionInfo],
    /// The size of picture it was made for, in pixels.
    pub default_size: usize,
    /// Mean of each colour that its pictures are normalised with.
    pub mean: [f32; 3],
    /// Standard deviation of each colour that its pictures are normalised with.
    pub std: [f32; 3],
    /// What the names of the head's tensors begin with, such as `fc.`.
    pub classifier: &'static str,
    /// What the names of second classifiers begin with, which take part in training only; files may lack them.
    pub auxiliary: &'static [&'static str],
    /// Where pretrained weights are.
    pub weights: &'static [WeightSource],
    /// Whether it is a fixed extractor of features, whose backbone can't train.
    pub extractor: bool,
    /// Turns a tensor's name in a weight file into its name in the network, where files spell it differently.
    pub rename: fn(&str) -> String,
    /// Checks the options and fills in defaults.
    pub check: fn(&Table) -> Result<Table, OptionError>,
    /// Checks that pictures of this size can be used with these (checked) options.
    pub check_size: fn(&Table, usize) -> Result<(), OptionError>,
    /// Builds the network from checked options. What its stages give must depend on nothing but their input and their tensors
    /// in an evaluation pass: features of a frozen backbone are kept and used again.
    pub build: fn(&Table, &mut Assembly<'_>) -> Result<(), BuildError>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why a network can't be built.
#[derive(Debug)]
pub enum BuildError {
    /// An option makes no sense.
    Option(OptionError),
    /// A tensor operation failed.
    Tensor(candle_core::Error),
}

impl From<OptionError> for BuildError {
    fn from(error: OptionError) -> Self {
        Self::Option(error)
    }
}

impl From<candle_core::Error> for BuildError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

/// All kinds of network.
pub fn registry() -> &'static [Entry] {
    REGISTRY
}

/// The kind of network called `kind`.
pub fn find(kind: &str) -> Result<&'static Entry, ModelError> {
    registry()
        .iter()
        .find(|entry| entry.name == kind)
        .ok_or_else(|| {
            let known: Vec<&'static str> = registry().iter().map(|entry| entry.name).collect();
            ModelError::UnknownKind {
                kind: kind.to_owned(),
                suggestion: closest(kind, &known),
                known,
            }
        })
}

/// For networks whose weight files use the network's own names.
pub(crate) fn same_name(name: &str) -> String {
    name.to_owned()
}

/// For networks that take pictures from `least` pixels on.
pub(crate) fn at_least(least: usize, size: usize) -> Result<(), OptionError> {
    if size >= least {
        return Ok(());
    }
    let expected = format!("pictures of at least {least}×{least} pixels");
    Err(OptionError::new("size", expected, size))
}

/// The known name with the fewest edits, if they are few; of equals the one with the same letters in another order.
fn closest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let name = name.to_lowercase();
    let letters = |name: &str| {
        let mut letters: Vec<char> = name.chars().collect();
        letters.sort_unstable();
        letters.into_iter().collect::<String>()
    };
    let best = known
        .iter()
        .map(|&known| {
            let shuffled = edits(&letters(&name), &letters(known));
            (edits(&name, known), shuffled, known)
        })
        .min()?;
    (best.0 <= 1 + name.len() / 4).then_some(best.2)
}

/// Insertions, deletions and replacements between two words (Levenshtein 1966).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_suggested() {
        assert_eq!(find("resnet18").unwrap().classifier, "fc.");
        let message = find("ResNet-18").unwrap_err().to_string();
        assert!(message.contains("did you mean `resnet18`?"), "{message}");
        let message = find("transformer").unwrap_err().to_string();
        let known: Vec<&str> = registry().iter().map(|entry| entry.name).collect();
        let known = format!("known are {}", known.join(", "));
        assert!(message.contains(&known), "{message}");
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, count) in [
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("same", "same", 0),
        ] {
            assert_eq!(edits(a, b), count);
        }
    }

    #[test]
    fn every_entry_is_complete() {
        for entry in registry() {
            assert!(entry.classifier.ends_with('.'), "{}", entry.name);
            assert!(entry.std.iter().all(|&std| std > 0.0), "{}", entry.name);
            let options = (entry.check)(&Table::new()).unwrap();
            assert_eq!(
                options.len(),
                entry.options.len(),
                "{}: every default is filled in",
                entry.name
            );
            assert_eq!((entry.check)(&options).unwrap(), options, "{}", entry.name);
            (entry.check_size)(&options, entry.default_size).unwrap();
            for source in entry.weights {
                source.spec.parse::<crate::WeightsSpec>().unwrap();
            }
        }
    }
}
