//! `graft lr-find` as a person uses it.

mod desk;

use std::fs;

use desk::{Desk, TINY};

const RUN: &str = "lr-find tiny.toml --min-lr 1e-4 --max-lr 100 --steps 40";

/// The cells of a table without its header.
fn rows(text: &str) -> Vec<Vec<f64>> {
    let cells = |line: &str| line.split(',').map(|cell| cell.parse().unwrap()).collect();
    text.lines().skip(1).map(cells).collect()
}

#[test]
fn every_variant_has_a_line_a_table_and_a_figure() {
    let desk = Desk::with_tiny();
    let found = desk.graft(RUN).code(0);
    found
        .stdout_has("narrow: ")
        .stdout_has("wide: ")
        .stdout_has("lr-find-narrow.csv lr-find-narrow.png lr-find-wide.csv");
    for variant in ["narrow", "wide"] {
        let text = desk.read(&format!("results/tiny/lr-find-{variant}.csv"));
        assert!(
            text.starts_with("step,lr,loss,smoothed_loss\n1,0.0001,"),
            "{text}"
        );
        let rows = rows(&text);
        // An epoch has 4 steps, so the test goes on through several.
        assert!((5..=40).contains(&rows.len()), "{}", rows.len());
        for (place, row) in rows.iter().enumerate() {
            let lr = 1e-4 * 1e6_f64.powf(place as f64 / 39.0);
            assert!((row[1] / lr - 1.0).abs() < 1e-12);
            assert!(row[2] > 0.0 && row[2].is_finite() && row[3] > 0.0);
        }
        assert_eq!(rows[0][2], rows[0][3]);
        let figure = fs::read(desk.path(&format!("results/tiny/lr-find-{variant}.png"))).unwrap();
        assert!(figure.starts_with(b"\x89PNG"));
    }
    assert!(desk.trials("tiny").is_empty());
}

#[test]
fn the_same_command_gives_the_same_bytes_and_another_seed_others() {
    let desk = Desk::with_tiny();
    let table = |arguments: &str| {
        desk.graft(&format!("{RUN} --variant wide {arguments}"))
            .code(0);
        assert!(!desk.path("results/tiny/lr-find-narrow.csv").exists());
        desk.read("results/tiny/lr-find-wide.csv")
    };
    let first = table("--threads 1");
    assert_eq!(table("--threads 2"), first);
    assert_eq!(table("--set train.optimizer.lr=3"), first);
    let other = table("--seed 8");
    assert_ne!(other, first);
    assert_eq!(table("--set seed=8"), other);
}

#[test]
fn the_first_loss_is_that_of_the_trials_first_step() {
    let desk = Desk::with_tiny();
    let whole = "--set train.batch_size=32 --set train.epochs=1 --set repeats=1";
    desk.graft(&format!("sweep tiny.toml {whole}")).code(0);
    let epochs = desk.trial("tiny", "narrow", 1).join("epochs.csv");
    let epochs = fs::read_to_string(epochs).unwrap();
    let first: f64 = epochs
        .lines()
        .nth(1)
        .unwrap()
        .split(',')
        .nth(2)
        .unwrap()
        .parse()
        .unwrap();
    desk.graft(&format!("{RUN} --variant narrow {whole}"))
        .code(0);
    let table = rows(&desk.read("results/tiny/lr-find-narrow.csv"));
    assert_eq!(table[0][2], first);
}

#[test]
fn what_is_wrong_is_said() {
    let desk = Desk::with_tiny();
    for (arguments, message) in [
        (
            "--variant wid",
            "error: --variant wid: there is no such variant\nhint: the variants are narrow, wide\n",
        ),
        (
            "--min-lr 1 --max-lr 1",
            "error: --min-lr 1 is not below --max-lr 1\n",
        ),
        ("--min-lr 0", "expected a learning rate from 1e-30 to 1e30"),
        (
            "--max-lr nan",
            "expected a learning rate from 1e-30 to 1e30",
        ),
        ("--steps 5", "5 is not in 10..=1000000"),
        (
            "--set train.epochs=0",
            "train.epochs=0: expected a whole number from 1",
        ),
        ("--device tpu", "tpu"),
    ] {
        desk.graft(&format!("lr-find tiny.toml {arguments}"))
            .code(2)
            .stderr_has(message);
    }
    desk.graft("lr-find tini.toml")
        .code(2)
        .stderr_has("did you mean `tiny.toml`?");
    let child = TINY.replace("\"tiny\"", "\"child\"").replace(
        "model = { kind = \"convnet\", depth = [2, 2], hidden = 4 }",
        "model = { kind = \"convnet\", depth = [2, 2], hidden = 4, weights = \"trial:tiny/narrow\" }",
    );
    desk.write("child.toml", child);
    desk.graft("lr-find child.toml").code(2).stderr_has(
        "error: variant `narrow` starts from trial:tiny/narrow, which has not been trained yet\n\
         hint: run `graft sweep child.toml` first, or choose another variant with --variant\n",
    );
    desk.graft("lr-find child.toml --variant wide --steps 10")
        .code(0);
    desk.graft("sweep tiny.toml").code(0);
    desk.graft("lr-find child.toml --steps 10")
        .code(0)
        .stdout_has("narrow: ");
}
