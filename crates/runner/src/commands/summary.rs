//! `graft summary`: the layers of a network.

use graft_model::{
    Init, ModelError, ModelSpec, Network, TransferMode, TransferSpec, WeightFile, WeightsFolders,
    WeightsSpec, find, locate,
};
use toml::{Table, Value};

use super::{Answer, folders};
use crate::{cli::SummaryArgs, failure::Failure, progress::DownloadProgress};

/// Builds the network and prints its layers.
pub fn summary(args: &SummaryArgs) -> Result<Answer, Failure> {
    let spec = model_of(&args.model, &args.options)?;
    let entry = find(&spec.kind).map_err(Failure::bad_input)?;
    let size = args.size.map_or(entry.default_size, |size| size as usize);
    let bad = |error: ModelError| Failure::bad_input(error);
    let init = Init { seed: 0, repeat: 1 };
    let device = graft_trainer::device::open("cpu").map_err(Failure::bad_input)?;
    let mut network =
        Network::build(&spec, args.classes as usize, size, &init, &device).map_err(bad)?;
    let mut text = String::new();
    if let Some(weights) = &args.weights {
        let weights: WeightsSpec = weights.parse().map_err(Failure::bad_input)?;
        let places = WeightsFolders::from_env(&args.weights_dir, folders::is_offline(args.offline));
        let path = locate(&weights, &places, &mut DownloadProgress::default()).map_err(bad)?;
        let file = WeightFile::open(&path).map_err(bad)?;
        let report = network.load_backbone(&file).map_err(bad)?;
        text = format!(
            "weights {weights} ({})\n{report}\n",
            folders::display(&path)
        );
    }
    let mode = if args.frozen || entry.extractor {
        TransferMode::Frozen
    } else {
        TransferMode::FineTune
    };
    network.set_transfer(&TransferSpec::of(mode)).map_err(bad)?;
    let table = network.summary(args.batch_size as usize).map_err(bad)?;
    Ok(Answer::from(format!("{table}{text}")))
}

/// The network that `--model` and `--option` name, with every default filled in.
pub(super) fn model_of(kind: &str, options: &[String]) -> Result<ModelSpec, Failure> {
    let entry = find(kind).map_err(Failure::bad_input)?;
    let written = parse_options(options)?;
    let options = (entry.check)(&written).map_err(|error| {
        let failure = Failure::bad_input(format!("{}: {error}", entry.name));
        match entry.options {
            [] => failure.hint("`cut`, `head` and `weights` belong into an experiment file"),
            options => failure.hint(known_options(options)),
        }
    })?;
    Ok(ModelSpec::new(entry.name, options))
}

fn known_options(options: &[graft_model::OptionInfo]) -> String {
    let lines: Vec<String> = options
        .iter()
        .map(|option| format!("`{}`: {}", option.name, option.meaning))
        .collect();
    format!("options are {}", lines.join("; "))
}

/// `KEY=VALUE` arguments as a table. A value is read as TOML, and as text if it is none.
fn parse_options(arguments: &[String]) -> Result<Table, Failure> {
    let mut options = Table::new();
    for argument in arguments {
        let Some((key, value)) = argument.split_once('=') else {
            return Err(Failure::bad_input(format!(
                "--option {argument}: expected KEY=VALUE"
            )));
        };
        let (key, value) = (key.trim(), value.trim());
        let document: Option<Table> = format!("value = {value}").parse().ok();
        let parsed = document.and_then(|mut table| table.remove("value"));
        options.insert(
            key.to_owned(),
            parsed.unwrap_or_else(|| Value::String(value.to_owned())),
        );
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_in_an_experiment_file() {
        let arguments =
            ["depth=[4, 8]", "hidden = 512", "dropout=0.5", "name=text"].map(str::to_owned);
        let options = parse_options(&arguments).unwrap();
        let expected: Table = "depth = [4, 8]\nhidden = 512\ndropout = 0.5\nname = 'text'"
            .parse()
            .unwrap();
        assert_eq!(options, expected);
        let failure = parse_options(&["depth".to_owned()]).unwrap_err();
        assert_eq!(failure.text, "error: --option depth: expected KEY=VALUE");
    }
}
