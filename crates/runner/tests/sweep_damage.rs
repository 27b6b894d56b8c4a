//! Damage to what finished trials have left.

mod desk;

use std::{collections::BTreeMap, fs, path::Path};

use desk::{Desk, TINY};

/// The tiny experiment with every kind of result file.
fn full() -> String {
    TINY.replace("val = 16", "val = 16\ntest = 8")
        .replace("repeats = 3", "repeats = 1")
        .replace(
            "batch_size = 8",
            "batch_size = 8\nvalidate_every = 3\nevaluate_train = true",
        )
}

/// Ways to damage a file.
const DAMAGES: [fn(&mut Vec<u8>); 3] = [
    |bytes| bytes.truncate(bytes.len() / 2),
    Vec::clear,
    |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    },
];

fn damage(path: &Path, how: fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    how(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[track_caller]
fn assert_same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    assert!(found.keys().eq(expected.keys()));
    for (name, content) in found {
        assert!(content == &expected[name], "{name} differs");
    }
}

#[test]
fn any_damage_to_a_result_file_is_noticed_and_mended() {
    let desk = Desk::new();
    desk.write("tiny.toml", full());
    desk.graft("sweep tiny.toml").code(0);
    let whole = desk.results("tiny");
    let trial = desk.trial("tiny", "wide", 1);
    let [halve, empty, flip] = DAMAGES;
    for (name, how) in [
        ("epochs.csv", flip),
        ("evaluations.csv", halve),
        ("metrics.csv", halve),
        ("metrics.csv", empty),
        ("metrics.csv", flip),
        ("predictions.csv", flip),
        ("predictions-test.csv", empty),
    ] {
        damage(&trial.join(name), how);
        desk.graft("sweep tiny.toml")
            .code(0)
            .stderr_has("2 trials, 1 finished already, 1 to run");
        assert_same(&desk.results("tiny"), &whole);
    }
    desk.graft("sweep tiny.toml")
        .code(0)
        .stderr_has("nothing to do");
    // A status of an earlier version, which says nothing of files, is as good as it was.
    let path = trial.join("status.json");
    let mut status: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(status.as_object_mut().unwrap().remove("files").is_some());
    fs::write(&path, status.to_string()).unwrap();
    desk.graft("sweep tiny.toml")
        .code(0)
        .stderr_has("nothing to do");
    fs::write(trial.join("predictions.csv"), "").unwrap();
    desk.graft("sweep tiny.toml").code(0).stderr_has("1 to run");
    assert_same(&desk.results("tiny"), &whole);
}

#[test]
fn a_damaged_checkpoint_is_noticed_when_it_is_used() {
    let desk = Desk::new();
    desk.write("tiny.toml", full());
    let start = TINY.find("[[variant]]").unwrap();
    let head = TINY[..start]
        .replace("name = \"tiny\"", "name = \"child\"")
        .replace("repeats = 3", "repeats = 1");
    let child = r#"
[[variant]]
name = "frozen"
model = { kind = "convnet", depth = [4, 4], hidden = 8, dropout = 0.25, weights = "trial:tiny/wide" }
transfer = "frozen"
"#;
    desk.write("child.toml", format!("{head}{child}"));
    desk.graft("sweep child.toml").code(0);
    let (source, whole) = (desk.results("tiny"), desk.results("child"));
    let trial = desk.trial("tiny", "wide", 1);
    let best = trial.join("best.safetensors");
    let flip = DAMAGES[2];
    // Its size is right, and nobody asks for more.
    damage(&best, flip);
    desk.graft("sweep child.toml")
        .code(0)
        .stderr_has("nothing to do");
    desk.write("picture.bmp", desk::bmp(1, 2, 3));
    desk.graft(&format!("predict --trial {} picture.bmp", trial.display()))
        .code(2)
        .stderr_has("best.safetensors is damaged: it is not what its trial wrote\nhint: delete it");
    // One that starts from it does.
    fs::remove_dir_all(desk.path("results/child")).unwrap();
    desk.graft("sweep child.toml")
        .code(0)
        .stderr_has("2 trials, 0 finished already, 2 to run");
    assert_same(&desk.results("tiny"), &source);
    assert_same(&desk.results("child"), &whole);
    let log = fs::read_to_string(trial.join("log.txt")).unwrap();
    assert!(
        log.contains("damaged: best.safetensors: starting over"),
        "{log}"
    );
    damage(&best, DAMAGES[0]);
    desk.graft("sweep child.toml")
        .code(0)
        .stderr_has("1 to run");
    assert_same(&desk.results("tiny"), &source);
    desk.graft(&format!("predict --trial {} picture.bmp", trial.display()))
        .code(0);
}
