//! What the keys of `[data]` mean, and what is said about wrong ones.

mod experiment_support;

use experiment_support::{Session, plan};
use graft_data::{Amount, SourceSpec, Subset, Target};

/// An experiment of one variant with these keys in `[data]`, and more at the end.
fn session(data: &str, more: &str) -> Session {
    Session::with(&format!(
        "name = \"x\"\n[data]\n{data}\n[train]\nepochs = 1\nbatch_size = 4\noptimizer = {{ kind = \"sgd\", lr = 0.1 }}\n\
         [[variant]]\nname = \"a\"\nmodel = {{ kind = \"convnet\", depth = [4], hidden = 8 }}\n{more}"
    ))
}

/// The first problem without the name of the file.
fn problem(data: &str, more: &str) -> String {
    let text = session(data, more).errors();
    text.strip_prefix("error: x.toml:")
        .unwrap_or(&text)
        .to_owned()
}

const GENERATED: &str =
    "source = \"generated\"\ntask = \"target\"\nside = 16\ntrain = 30\nval = 6\n";
const LIST: &str = "source = \"csv\"\npath = \"list.csv\"\n";

#[test]
fn sources_are_read_and_written_again() {
    for data in [
        "source = \"csv\"\npath = \"lists\"\nfile = \"a.csv\"\nroot = \"..\"\nimage = \"picture\"\nnumber = \"wealth\"\nsplit = \"part\"\n",
        "source = \"csv\"\npath = \"list.csv\"\nlabel = \"class\"\nval = 20\ntest = 0\nsplit_seed = 3\non_bad_image = \"skip\"\n",
        "source = \"cifar10\"\npath = \"cifar\"\nurl = \"https://h/c.tar.gz\"\nval = 0.1\n",
        "source = \"image-folder\"\npath = \"p\"\nsplits = { test = \"held-out\" }\n",
        "source = \"generated\"\ntask = \"target\"\nside = 16\ntrain = 30\nval = 6\ntest = 9\n",
    ] {
        let first = session(data, "").load();
        let second = Session::with(first.to_toml()).load();
        assert_eq!(first, second, "{data}");
        // As on its way to a worker.
        let spec = plan(&first).trials[0].spec.clone();
        let text = serde_json::to_string(&spec).unwrap();
        let read: graft_trainer::TrialSpec = serde_json::from_str(&text).unwrap();
        assert_eq!(read, spec);
        assert!(toml::Table::try_from(&spec).is_ok());
    }
}

#[test]
fn defaults_are_those_of_the_manual() {
    let source = |data| session(data, "").load().source;
    let SourceSpec::Cifar10(cifar) = source("source = \"cifar10\"\npath = \"c\"") else {
        panic!("another source");
    };
    assert_eq!(
        (cifar.val, cifar.split_seed, cifar.url),
        (Amount::Count(5000), 0, None)
    );
    let list = source("source = \"csv\"\npath = \"c\"\nnumber = \"n\"");
    assert_eq!(list.target(), Target::Number);
    let SourceSpec::ImageFolder(folder) = source("source = \"image-folder\"\npath = \"p\"") else {
        panic!("another source");
    };
    assert_eq!(folder.splits.test, None);
}

#[test]
fn wrong_keys_of_sources_are_named() {
    for (data, expected) in [
        (
            "source = \"cvs\"",
            "3: data.source: expected `image-folder`, `csv`, `cifar10` or `generated`, found \"cvs\"; did you mean `csv`?",
        ),
        (
            LIST,
            "2: data: expected one of `label` and `number`, found neither\n  hint: `label` names the column",
        ),
        (
            "source = \"csv\"\npath = \"p\"\nlabel = \"a\"\nnumber = \"b\"",
            "6: data.number: expected one of `label` and `number`, found both",
        ),
        (
            "source = \"csv\"\npath = \"p\"\nlabel = \"a\"\nsplit = \"s\"\ntest = 0.1",
            "7: data.test: the column `split` says the splits already",
        ),
        (
            "source = \"csv\"\npath = \"p\"\nlabel = 3",
            "5: data.label: expected the name of a column, found 3",
        ),
        (
            "source = \"csv\"\npath = \"p\"\nlabel = \"a\"\nval = 0",
            "6: data.val: expected a number of pictures, or a share of them above 0 and below 1, found 0",
        ),
        (
            "source = \"csv\"\npath = \"p\"\nlabel = \"a\"\ntest = 1.0",
            "6: data.test: expected a number of pictures, or a share of them above 0 and below 1, or 0 for none, found 1.0",
        ),
        (
            "source = \"csv\"\npath = \"p\"\nlabel = \"a\"\nurl = \"https://h/x.zip\"",
            "6: data.url: unknown key",
        ),
        (
            "source = \"cifar10\"\npath = \"p\"\nval = -1",
            "5: data.val: expected a number of pictures",
        ),
        (
            "source = \"cifar10\"",
            "2: data.path: missing; expected the folder of the batches",
        ),
        (
            "source = \"cifar10\"\npath = \"p\"\nsplit_sed = 1",
            "5: data.split_sed: unknown key; did you mean `split_seed`?",
        ),
        (
            "source = \"image-folder\"\npath = \"p\"\nsplits = { test = 1 }",
            "5: data.splits.test: expected the folder of the split below `path`, found 1",
        ),
    ] {
        let found = problem(data, "");
        assert!(found.starts_with(expected), "{expected}\n{found}");
    }
}

#[test]
fn subsets_are_those_of_the_file_the_variant_or_the_grid() {
    let subsets = |data: &str, more: &str| -> Vec<Subset> {
        let experiment = session(&format!("{GENERATED}{data}"), more).load();
        let again = Session::with(experiment.to_toml()).load();
        assert_eq!(experiment, again);
        let settings = experiment
            .variants
            .iter()
            .flat_map(|variant| &variant.settings);
        settings.map(|settings| settings.subset).collect()
    };
    let grid = "[grid]\n\"data.per_class\" = [2, 5, 10]\n";
    let sizes = [2, 5, 10].map(Subset::PerClass);
    assert_eq!(subsets("", ""), [Subset::Whole]);
    assert_eq!(subsets("train_fraction = 0.5", ""), [Subset::Fraction(0.5)]);
    assert_eq!(subsets("train_fraction = 1", ""), [Subset::Whole]);
    assert_eq!(subsets("", grid), sizes);
    assert_eq!(subsets("per_class = 3", grid), sizes);
    let fractions = "[grid]\n\"data.train_fraction\" = [0.1, 1.0]\n";
    assert_eq!(
        subsets("", fractions),
        [Subset::Fraction(0.1), Subset::Whole]
    );
    // A variant's own takes the place of the file's, whichever key that is.
    assert_eq!(
        subsets("per_class = 3", "data.train_fraction = 0.5"),
        [Subset::Fraction(0.5)]
    );
}

#[test]
fn wrong_subsets_are_named() {
    let data = |line: &str| format!("{GENERATED}{line}");
    for (data, more, expected) in [
        (
            data("per_class = 0"),
            "",
            "8: data.per_class: expected a whole number from 1",
        ),
        (
            data("train_fraction = 0.0"),
            "",
            "8: data.train_fraction: expected a number above 0, at most 1.0, found 0.0",
        ),
        (
            data("train_fraction = 1.5"),
            "",
            "8: data.train_fraction: expected a number above 0",
        ),
        (
            data("train_fraction = 0.5\nper_class = 2"),
            "",
            "9: data.per_class: expected one of `train_fraction` and `per_class`, found both",
        ),
        (
            data("train_fracton = 0.5"),
            "",
            "8: data.train_fracton: unknown key; did you mean `train_fraction`?",
        ),
        (
            format!("{LIST}number = \"n\"\nper_class = 2"),
            "",
            "6: data.per_class: the pictures have numbers and no classes\n  hint: `train_fraction`",
        ),
        (
            data(""),
            "[grid]\n\"data.per_clas\" = [1]\n",
            "17: grid.\"data.per_clas\": unknown key; did you mean `data.per_class`?",
        ),
        (
            data(""),
            "[grid]\n\"data.side\" = [16]\n",
            "17: grid.\"data.side\": unknown key",
        ),
    ] {
        let found = problem(&data, more);
        assert!(found.starts_with(expected), "{expected}\n{found}");
    }
}

#[test]
fn the_subset_counts_in_the_id_and_the_whole_does_not() {
    let ids = |data: &str| -> Vec<String> {
        let experiment = session(&format!("{GENERATED}{data}"), "").load();
        plan(&experiment)
            .trials
            .into_iter()
            .map(|trial| trial.key.id)
            .collect()
    };
    let whole = ids("");
    assert_eq!(ids("train_fraction = 1.0"), whole);
    let part = ids("train_fraction = 0.5");
    assert_ne!(part, whole);
    assert_ne!(ids("per_class = 5"), part);
    assert_ne!(ids("per_class = 5"), ids("per_class = 6"));
}
