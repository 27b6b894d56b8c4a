//! What `zip` and `exclude` make of a grid, and what is wrong with them.

mod experiment_support;

use experiment_support::{GOOD, Session, plan};
use graft_runner::experiment::Experiment;

const ZIP: &str =
    "zip = [ { \"train.batch_size\" = [4, 32], train.epochs = [20, 40] }, { head_lr = [1, 2] } ]";

fn load(grid: &str) -> Experiment {
    let text = format!("{GOOD}\n[grid]\n{grid}\n");
    let experiment = Session::with(&text).load();
    let again = Session::with(experiment.to_toml()).load();
    assert_eq!(again, experiment, "{}", experiment.to_toml());
    experiment
}

fn errors(grid: &str) -> String {
    Session::with(&format!("{GOOD}\n[grid]\n{grid}\n")).errors()
}

/// Batch size and epochs of a variant in each of its cells.
fn seen(experiment: &Experiment, variant: &str) -> Vec<(usize, u32)> {
    let settings = &experiment.variant(variant).unwrap().settings;
    let pair = |train: &graft_trainer::Recipe| (train.batch_size, train.epochs);
    settings
        .iter()
        .map(|settings| pair(&settings.train))
        .collect()
}

#[test]
fn axes_of_a_zip_move_together() {
    let experiment = load(&format!("\"train.optimizer.lr\" = [1e-4, 1]\n{ZIP}"));
    let cells = |lr: &str| {
        [(4, 20), (32, 40)].map(|(batch, epochs)| {
            [1, 2].map(|head| format!("lr={lr},batch_size={batch},epochs={epochs},head_lr={head}"))
        })
    };
    let expected: Vec<String> = [cells("0.0001"), cells("1")].concat().concat();
    assert_eq!(experiment.cells, expected);
    let twice = [(4, 20), (4, 20), (32, 40), (32, 40)];
    assert_eq!(seen(&experiment, "frozen"), [twice, twice].concat());
    let groups: Vec<usize> = experiment.grid.iter().map(|axis| axis.group).collect();
    assert_eq!(groups, [0, 1, 1, 2]);
}

#[test]
fn a_zip_stands_among_the_axes_where_it_is_written() {
    let experiment = load(&format!("{ZIP}\n\"train.optimizer.lr\" = [1e-4, 1]"));
    assert_eq!(experiment.cells.len(), 8);
    assert_eq!(experiment.cells[1], "batch_size=4,epochs=20,head_lr=1,lr=1");
    let set = Session::with(GOOD)
        .set("grid.zip=[{train.batch_size=[4,4],train.epochs=[1,2]}]")
        .load();
    assert_eq!(
        set.cells,
        ["batch_size=4,epochs=1", "batch_size=4,epochs=2"]
    );
}

#[test]
fn cells_that_are_excluded_are_left_out() {
    let grid = "\"train.epochs\" = [1, 2]\n\"train.batch_size\" = [4, 8]\n";
    let experiment = load(&format!(
        "{grid}exclude = [{{ \"train.epochs\" = 1, train.batch_size = 8.0 }}]"
    ));
    let cells = [
        "epochs=1,batch_size=4",
        "epochs=2,batch_size=4",
        "epochs=2,batch_size=8",
    ];
    assert_eq!(experiment.cells, cells);
    assert_eq!(seen(&experiment, "scratch"), [(4, 1), (4, 2), (8, 2)]);
    assert_eq!(plan(&experiment).trials.len(), 18);
}

#[test]
fn a_cell_can_be_left_out_for_one_variant() {
    let grid = "\"train.epochs\" = [1, 2]\n\"train.batch_size\" = [4, 8]\n";
    let experiment = load(&format!(
        "{grid}exclude = [{{ train.epochs = 1, variant = \"scratch\" }}, {{ train.batch_size = 8 }}]"
    ));
    assert_eq!(
        experiment.cells,
        ["epochs=1,batch_size=4", "epochs=2,batch_size=4"]
    );
    assert_eq!(seen(&experiment, "scratch"), [(4, 2)]);
    assert_eq!(seen(&experiment, "frozen"), [(4, 1), (4, 2)]);
    assert_eq!(experiment.variant("scratch").unwrap().cells, [1]);
    let plan = plan(&experiment);
    let of_scratch = plan.trials.iter().filter(|t| t.key.variant == "scratch");
    for trial in of_scratch {
        assert_eq!(trial.key.cell, "epochs=2,batch_size=4");
        assert_eq!(trial.spec.recipe.epochs, 2);
    }
    assert_eq!(plan.trials.len(), 2 * 5);
}

#[test]
fn what_is_left_out_need_not_be_possible() {
    let text = GOOD;
    let grid =
        "[grid]\n\"data.transform.eval\" = [[\"resize 256\", \"center-crop\"], [\"resize 256\"]]\n";
    let bad = Session::with(&format!("{text}\n{grid}"));
    assert!(bad.errors().contains("expected 224 × 224 pixels"));
    let exclude = "exclude = [{ \"data.transform.eval\" = [\"resize 256\"] }]\n";
    let good = Session::with(&format!("{text}\n{grid}{exclude}")).load();
    assert_eq!(good.cells, ["eval=[resize 256 center-crop]"]);
}

#[test]
fn trials_have_the_ids_that_they_have_without_zip_and_exclude() {
    let ids = |grid: &str| -> Vec<String> {
        let plan = plan(&load(grid));
        let of_cell = |cell: &str| cell.contains("=4,") && cell.contains("=1");
        let trials = plan.trials.into_iter().filter(|t| of_cell(&t.key.cell));
        trials.map(|trial| trial.key.id).collect()
    };
    let expected = ids("\"train.batch_size\" = [4, 8]\n\"train.epochs\" = [1, 2]");
    assert_eq!(expected.len(), 6);
    assert_eq!(
        ids("zip = [{ \"train.batch_size\" = [4, 8], \"train.epochs\" = [1, 2] }]"),
        expected
    );
    let exclude = "exclude = [{ \"train.epochs\" = 2 }]";
    assert_eq!(
        ids(&format!(
            "\"train.batch_size\" = [4, 8]\n\"train.epochs\" = [1, 2]\n{exclude}"
        )),
        expected
    );
}

#[test]
fn what_is_wrong_with_a_zip_is_said() {
    for (zip, message) in [
        (
            "zip = { \"train.epochs\" = [1] }",
            "grid.zip: expected a list of tables of axes, such as [{ \"train.batch_size\" = [4, 32], \"train.epochs\" = [20, 40] }], found a table",
        ),
        (
            "zip = [3]",
            "grid.zip[1]: expected a table of axes that move together, found 3",
        ),
        (
            "zip = [{}]",
            "grid.zip[1]: the table has no axes; expected some that move together, such as { \"train.batch_size\" = [4, 32], \"train.epochs\" = [20, 40] }",
        ),
        (
            "zip = [{ \"train.batch_size\" = [4, 8], \"train.epochs\" = [1, 2, 3] }]",
            "grid.zip[1].\"train.epochs\": axes that move together need equally many values: `train.batch_size` has 2 and `train.epochs` has 3",
        ),
        (
            "zip = [{ \"train.batch_size\" = [4, 4], \"train.epochs\" = [1, 1] }]",
            "grid.zip[1].\"train.batch_size\"[2]: the values 4, 1 are there twice",
        ),
        (
            "zip = [{ \"train.batch_size\" = [4, 8], \"train.epochs\" = 1 }]",
            "grid.zip[1].\"train.epochs\": expected a list of values, such as [1e-4, 1e-3], found 1",
        ),
        (
            "zip = [{ \"train.batch_sizes\" = [4, 8] }]",
            "grid.zip[1].\"train.batch_sizes\": unknown key; did you mean `train.batch_size`?",
        ),
        (
            "zip = [{ \"train.epochs\" = [1, 2] }, { train.epochs = [1, 2] }]",
            "grid.zip[2].train.epochs: the axis `train.epochs` sets the same key",
        ),
        (
            "zip = [{ \"train.epochs\" = [1, -2], \"train.batch_size\" = [4, 8] }]",
            "grid.zip[1].\"train.epochs\"[2]: expected a whole number from 1 to 100000, found -2",
        ),
    ] {
        let expected = format!("error: x.toml:32: {message}\n1 problem; nothing was run");
        assert_eq!(errors(zip), expected);
    }
}

#[test]
fn what_is_wrong_with_an_exclusion_is_said() {
    let grid = "\"train.epochs\" = [1, 2]\nzip = [{ \"train.batch_size\" = [4, 8], \"head_lr\" = [1, 2] }]";
    for (exclude, message) in [
        (
            "3",
            "grid.exclude: expected a list of tables, such as [{ \"train.optimizer.lr\" = 1e-3, \"train.batch_size\" = 32 }], found 3",
        ),
        (
            "[3]",
            "grid.exclude[1]: expected a table of axes with a value each, found 3",
        ),
        (
            "[{}]",
            "grid.exclude[1]: expected at least one axis of the grid with the value that is left out",
        ),
        (
            "[{ variant = \"scratch\" }]",
            "grid.exclude[1]: expected at least one axis of the grid with the value that is left out\n  hint: a variant that is not to be trained at all is better deleted",
        ),
        (
            "[{ \"train.epoch\" = 1 }]",
            "grid.exclude[1].\"train.epoch\": no axis of the grid; did you mean `train.epochs`?",
        ),
        (
            "[{ train.momentum = 1 }]",
            "grid.exclude[1].train.momentum: no axis of the grid; expected `train.epochs`, `train.batch_size` or `head_lr`",
        ),
        (
            "[{ \"train.epochs\" = 3 }]",
            "grid.exclude[1].\"train.epochs\": the axis has no value 3; expected `1` or `2`",
        ),
        (
            "[{ \"train.batch_size\" = 4, head_lr = 2 }]",
            "grid.exclude[1]: no cell of the grid has all of these values\n  hint: axes of one `zip` have their values in pairs",
        ),
        (
            "[{ \"train.epochs\" = 1, variant = \"scrach\" }]",
            "grid.exclude[1].variant: no variant is called \"scrach\"; did you mean `scratch`?",
        ),
        (
            "[{ \"train.epochs\" = 1, variant = 3 }]",
            "grid.exclude[1].variant: expected the name of a variant, found 3",
        ),
        (
            "[{ \"train.epochs\" = 1 }, { \"train.epochs\" = 2 }]",
            "grid.exclude: every cell of the grid is left out",
        ),
        (
            "[{ \"train.epochs\" = 1, variant = \"frozen\" }, { \"train.epochs\" = 2, variant = \"frozen\" }]",
            "grid.exclude: variant `frozen` is left out of every cell",
        ),
    ] {
        let expected = format!("error: x.toml:34: {message}\n1 problem; nothing was run");
        assert_eq!(errors(&format!("{grid}\nexclude = {exclude}")), expected);
    }
    assert!(
        errors("exclude = [{ head_lr = 1 }]").contains("no axis of the grid; the grid has no axes")
    );
}
