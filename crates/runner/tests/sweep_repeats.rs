//! Sweeps whose results decide how many repeats there are.

mod desk;

use std::{collections::BTreeMap, fs};

use desk::{Desk, TINY, file_name};

const REPEATS: &str = "repeats = { min = 2, max = 4, until = \"interval < 0.5\" }";

fn adaptive() -> String {
    TINY.replace("repeats = 3", REPEATS)
}

/// What the tables and the plan say: everything but the trials' folders.
fn tables(desk: &Desk) -> BTreeMap<String, Vec<u8>> {
    let mut files = desk.results("tiny");
    files.retain(|name, _| {
        let names = ["plan.json", "summary.csv", "comparisons.csv", "epochs.csv"];
        names.contains(&name.as_str())
    });
    assert_eq!(files.len(), 4);
    files
}

/// How many repeats of a variant are in the plan.
fn planned(desk: &Desk, experiment: &str, variant: &str) -> usize {
    let plan = desk.read(&format!("results/{experiment}/plan.json"));
    plan.matches(&format!("\"variant\": \"{variant}\"")).count()
}

/// The last validation accuracies of a variant's repeats.
fn accuracies(desk: &Desk, variant: &str) -> Vec<f64> {
    let start = format!("{variant}-base-r");
    let trials = desk.trials("tiny").into_iter();
    let trials = trials.filter(|path| file_name(path).starts_with(&start));
    trials
        .map(|path| {
            let text = fs::read_to_string(path.join("epochs.csv")).unwrap();
            let column = text.lines().next().unwrap().split(',');
            let column = column.into_iter().position(|name| name == "val_accuracy");
            let last = text.lines().last().unwrap().split(',').nth(column.unwrap());
            last.unwrap().parse().unwrap()
        })
        .collect()
}

/// The width of the 95 % interval of the mean of 2 to 4 values.
fn width(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    2.0 * [12.7062, 4.3027, 3.1824][values.len() - 2] * (variance / n).sqrt()
}

#[test]
fn the_results_decide_and_the_way_there_does_not() {
    let desk = Desk::new();
    desk.write("tiny.toml", adaptive());
    desk.graft("sweep tiny.toml --dry-run").code(0).stdout_has(
        "repeats: 2 to 4, until the 95 % interval of the last validation accuracy is narrower than 0.5; up to 4 more trials\n",
    );
    let first = desk.graft("sweep tiny.toml --jobs 2").code(0);
    first.stderr_has(
        "4 trials, 0 finished already, 4 to run on 2 workers, and up to 4 more by what comes out\n",
    );
    for variant in ["narrow", "wide"] {
        let values = accuracies(&desk, variant);
        let n = values.len();
        assert_eq!(planned(&desk, "tiny", variant), n);
        assert!((2..=4).contains(&n));
        assert!(n == 4 || width(&values) < 0.5, "{variant}: {values:?}");
        assert!(
            (2..n).all(|less| width(&values[..less]) >= 0.5),
            "{variant}: {values:?}"
        );
    }
    desk.graft("sweep tiny.toml")
        .code(0)
        .stderr_has("nothing to do: all ");
    let expected = tables(&desk);

    // One worker, after a sweep of one repeat.
    let other = Desk::new();
    other.write("tiny.toml", adaptive());
    other.graft("sweep tiny.toml --set repeats=1").code(0);
    other.graft("sweep tiny.toml --jobs 1").code(0);
    assert_eq!(tables(&other), expected);
    assert_eq!(other.trials("tiny"), renamed(&desk, &other));

    // After a sweep of all repeats: those that are not wanted do not count.
    let full = Desk::new();
    full.write("tiny.toml", adaptive());
    full.graft("sweep tiny.toml --set repeats=4").code(0);
    let last = full.graft("sweep tiny.toml").code(0);
    last.stderr_has("nothing to do: all ");
    assert_eq!(tables(&full), expected);
    assert_eq!(full.trials("tiny").len(), 8);
}

/// The trials of `desk` as they would be called on `other`.
fn renamed(desk: &Desk, other: &Desk) -> Vec<std::path::PathBuf> {
    let root = other.path("results/tiny/trials");
    let trials = desk.trials("tiny").into_iter();
    trials.map(|path| root.join(file_name(&path))).collect()
}

#[test]
fn an_interval_that_is_never_narrow_enough_takes_all_repeats_and_a_wide_one_the_fewest() {
    let desk = Desk::new();
    desk.write("tiny.toml", adaptive());
    let sweep = |until: &str| {
        let mut command = desk.command("sweep tiny.toml --set variant.wide.train.epochs=1 --set");
        let set = format!("repeats={{ min = 2, max = 3, until = \"interval < {until}\" }}");
        command
            .arg(set)
            .arg("--set")
            .arg("name=x")
            .output()
            .unwrap()
    };
    assert!(sweep("1.0").status.success());
    let wide = planned(&desk, "x", "wide") + planned(&desk, "x", "narrow");
    assert!(sweep("1e-12").status.success());
    let narrow = planned(&desk, "x", "wide") + planned(&desk, "x", "narrow");
    assert!(narrow >= wide, "{wide} {narrow}");
}

#[test]
fn only_the_sources_of_wanted_repeats_are_trained() {
    let desk = Desk::new();
    let child = adaptive().replace(
        "model = { kind = \"convnet\", depth = [4, 4], hidden = 8, dropout = 0.25 }",
        "model = { kind = \"convnet\", depth = [2, 2], hidden = 4, weights = \"trial:source/narrow\" }",
    );
    desk.write("tiny.toml", child);
    let source = TINY
        .replace("\"tiny\"", "\"source\"")
        .replace("repeats = 3", "repeats = 4");
    desk.write("source.toml", source);
    desk.graft("sweep tiny.toml --jobs 2").code(0);
    let wanted = planned(&desk, "tiny", "wide");
    assert_eq!(desk.trials("source").len(), wanted);
    assert_eq!(planned(&desk, "source", "narrow"), wanted);
    desk.graft("report source").code(0);
}
