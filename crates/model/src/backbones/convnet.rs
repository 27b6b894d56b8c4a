//! The small network of the transfer-learning tutorials: 5×5 convolutions, each with a 2×2 max-pool, then one hidden
//! layer. Names as in the PyTorch script: `conv1`, `conv2`, …, `fc1`, `fc2`.

use toml::Table;

use crate::{
    Assembly, OptionError, Output,
    layers::{
        Activation, Conv2d, ConvOptions, ConvUnit, Dropout, FixedSize, Flatten, Linear, MaxPool2d,
        Sequential,
    },
    options::{OptionInfo, Options},
    registry::{Dimensions, Entry, IMAGENET_MEAN, IMAGENET_STD, same_name},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "convnet",
    about: "5×5 convolutions with max-pools and one hidden layer, trained from scratch in the tutorials",
    options: &[
        OptionInfo {
            name: "depth",
            meaning: "maps of each convolution; as many convolutions as numbers",
        },
        OptionInfo {
            name: "hidden",
            meaning: "units of the hidden layer",
        },
        OptionInfo {
            name: "dropout",
            meaning: "probability of dropping a hidden unit in training",
        },
    ],
    default_size: 224,
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
    classifier: "fc2.",
    auxiliary: &[],
    weights: &[],
    extractor: false,
    rename: same_name,
    check: |table| Ok(Settings::read(table)?.1),
    check_size: |table, size| {
        let settings = Settings::read(table)?.0;
        settings.check_size(size)?;
        settings.check_parameters(Dimensions { classes: 1, size })
    },
    build: |table, assembly| {
        let settings = Settings::read(table)?.0;
        settings.check_size(assembly.dimensions().size)?;
        settings.check_parameters(assembly.dimensions())?;
        Ok(build(&settings, assembly)?)
    },
};

/// More parameters than this are taken for a mistake: 2 GiB of weights, and four times that in training.
pub(crate) const MOST_PARAMETERS: usize = 1 << 29;

struct Settings {
    depth: Vec<usize>,
    hidden: usize,
    dropout: f64,
}

impl Settings {
    fn read(table: &Table) -> Result<(Self, Table), OptionError> {
        let mut options = Options::new(table, ENTRY.options)?;
        let settings = Self {
            depth: options.whole_list("depth", &[4, 8], 1..=16, 1..=65_536)?,
            hidden: options.whole("hidden", 512, 1..=1_048_576)?,
            dropout: options.probability("dropout", 0.5)?,
        };
        Ok((settings, options.finish()))
    }

    /// Height and width after all pools, each of which halves and rounds down.
    fn last_size(&self, size: usize) -> usize {
        size >> self.depth.len()
    }

    fn check_size(&self, size: usize) -> Result<(), OptionError> {
        let last = self.last_size(size);
        if last == 0 {
            let most = size.checked_ilog2().unwrap_or(0);
            let expected = format!(
                "at most {most} convolutions for pictures of {size}×{size} pixels, as each is followed by a pool that halves them"
            );
            return Err(OptionError::new(
                "depth",
                expected,
                format!("{:?}, that is {}", self.depth, self.depth.len()),
            ));
        }
        Ok(())
    }

    fn check_parameters(
        &self,
        Dimensions { classes, size }: Dimensions,
    ) -> Result<(), OptionError> {
        let (mut maps, mut convolutions) = (3, 0usize);
        for &next in &self.depth {
            convolutions = convolutions.saturating_add((25 * maps + 1) * next);
            maps = next;
        }
        let last = self.last_size(size);
        let inputs = last.saturating_mul(last).saturating_mul(maps);
        let per_unit = inputs.saturating_add(1).saturating_add(classes);
        let most_hidden =
            MOST_PARAMETERS.saturating_sub(convolutions.saturating_add(classes)) / per_unit;
        if most_hidden == 0 {
            let expected = format!(
                "a network of at most {MOST_PARAMETERS} parameters for pictures of {size}×{size} pixels"
            );
            return Err(OptionError::new(
                "depth",
                expected,
                format!("{:?}", self.depth),
            ));
        }
        if self.hidden > most_hidden {
            let expected = format!("at most {most_hidden} for {inputs} inputs to the hidden layer");
            return Err(OptionError::new("hidden", expected, self.hidden));
        }
        Ok(())
    }
}

/// The backbone ends with the hidden layer; dropout and the last linear layer are the head.
fn build(settings: &Settings, assembly: &mut Assembly<'_>) -> candle_core::Result<()> {
    let size = assembly.dimensions().size;
    let mut maps = 3;
    for (i, &next) in settings.depth.iter().enumerate() {
        let layer = i + 1;
        let name = format!("pool{layer}");
        assembly.stage(&name, Output::Maps(next), |builder| {
            let root = builder.root();
            let scope = |name: &str| root.scope(format!("{name}{layer}"));
            let options = ConvOptions::square(5).padding(2);
            let conv = Conv2d::new(&scope("conv"), maps, next, &options)?;
            let unit = ConvUnit::new(conv).activation(Activation::relu(&scope("relu")));
            let unit = unit.pool(MaxPool2d::new(builder, 2, 2));
            let first = (i == 0).then(|| FixedSize::new(size));
            Ok(Sequential::new().with_some(first).with(unit))
        })?;
        maps = next;
    }
    let last = settings.last_size(size);
    assembly.stage("relu", Output::Vector(settings.hidden), |builder| {
        let root = builder.root();
        let inputs = last * last * maps;
        Ok(Sequential::new()
            .with(Flatten::new(&root.scope("flatten")))
            .with(Linear::new(&root.scope("fc1"), inputs, settings.hidden)?)
            .with(Activation::relu(builder)))
    })?;
    assembly.head(|builder, classes| {
        Ok(Sequential::new()
            .with(Dropout::new(&builder.scope("dropout"), settings.dropout))
            .with(Linear::new(
                &builder.scope("fc2"),
                settings.hidden,
                classes,
            )?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(options: &str, size: usize) -> String {
        let table: Table = options.parse().unwrap();
        (ENTRY.check)(&table)
            .and_then(|table| (ENTRY.check_size)(&table, size))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn nonsense_is_refused() {
        let list = "`depth`: expected a list of 1 to 16 whole numbers from 1 to 65536, found ";
        for written in ["[]", "[0]", "[4, -1]", "4", "\"4\"", "[4.5]"] {
            assert_eq!(
                error(&format!("depth = {written}"), 224),
                format!("{list}{written}")
            );
        }
        assert_eq!(
            error("hidden = 0", 224),
            "`hidden`: expected a whole number from 1 to 1048576, found 0"
        );
        assert_eq!(
            error("dropout = 1.5", 224),
            "`dropout`: expected a number from 0 to below 1, found 1.5"
        );
        assert_eq!(
            error("dropout = nan", 224),
            "`dropout`: expected a number from 0 to below 1, found nan"
        );
        assert_eq!(
            error("dept = [4]", 224),
            "`dept`: expected an option named depth, hidden, dropout, found `dept`"
        );
        assert_eq!(
            error("depth = [4, 4, 4, 4]", 8),
            "`depth`: expected at most 3 convolutions for pictures of 8×8 pixels, as each is followed by a pool that \
             halves them, found [4, 4, 4, 4], that is 4"
        );
        assert_eq!(
            error("hidden = 1000000", 224),
            "`hidden`: expected at most 21397 for 25088 inputs to the hidden layer, found 1000000"
        );
        for (depth, size) in [("[65536, 65536]", 224), ("[4, 8]", 1 << 40)] {
            assert_eq!(
                error(&format!("depth = {depth}"), size),
                format!(
                    "`depth`: expected a network of at most 536870912 parameters for pictures of {size}×{size} pixels, \
                     found {depth}"
                )
            );
        }
    }

    #[test]
    fn defaults_are_filled_in() {
        let table = (ENTRY.check)(&"dropout = 0".parse().unwrap()).unwrap();
        assert_eq!(
            table,
            "depth = [4, 8]\nhidden = 512\ndropout = 0.0"
                .parse()
                .unwrap()
        );
        assert!((ENTRY.check_size)(&"depth = [4, 4, 4]".parse().unwrap(), 8).is_ok());
    }
}
