//! Sweeps whose frozen trials share fixed views: whatever is kept, found or lost, the results are the same.

mod desk;

use std::{collections::BTreeMap, fs, path::PathBuf};

use desk::{Desk, TINY};

/// Three repeats of a frozen and of a fine-tuned child of `tiny.toml`'s wide variant.
fn child() -> String {
    let start = TINY.find("[[variant]]").unwrap();
    let head = TINY[..start]
        .replace("name = \"tiny\"", "name = \"child\"")
        .replace("[data.transform]", "[data.transform]\nviews = 4")
        .replace("train = 32", "train = 70")
        .replace("epochs = 3", "epochs = 6");
    let model = "model = { kind = \"convnet\", depth = [4, 4], hidden = 8, dropout = 0.25, weights = \"trial:tiny/wide\" }";
    format!(
        r#"{head}
[[variant]]
name = "tuned"
{model}

[[variant]]
name = "frozen"
{model}
transfer = "frozen"
"#
    )
}

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("tiny.toml", TINY.replace("repeats = 3", "repeats = 1"));
    desk.write("child.toml", child());
    desk
}

fn cached(desk: &Desk) -> Vec<PathBuf> {
    let Ok(keys) = fs::read_dir(desk.path("results/.cache/features")) else {
        return Vec::new();
    };
    let files = keys.flat_map(|key| fs::read_dir(key.unwrap().path()).unwrap());
    let files = files.map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some()).collect()
}

/// The results without those parts that any change of the trials' folders changes.
fn results(desk: &Desk) -> BTreeMap<String, Vec<u8>> {
    let results = desk.results("child");
    assert!(results.contains_key("epochs.csv") && results.contains_key("summary.csv"));
    results
}

#[track_caller]
fn assert_same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (name, content) in found {
        assert!(content == &expected[name], "{name} differs");
    }
}

#[test]
fn cache_workers_and_kills_change_no_byte() {
    let off = desk();
    off.graft("sweep child.toml --jobs 1 --feature-cache 0")
        .code(0);
    assert!(cached(&off).is_empty());
    let expected = results(&off);

    let cold = desk();
    cold.graft("sweep child.toml --jobs 2").code(0);
    assert!(!cached(&cold).is_empty());
    assert_same(&results(&cold), &expected);

    fs::remove_dir_all(cold.path("results/child")).unwrap();
    let before = cached(&cold);
    cold.graft("sweep child.toml --jobs 1").code(0);
    assert_same(&results(&cold), &expected);
    assert_eq!(cached(&cold), before, "nothing was computed again");

    fs::remove_dir_all(cold.path("results/child")).unwrap();
    for file in cached(&cold) {
        let mut bytes = fs::read(&file).unwrap();
        let places = bytes.len() / 97;
        for place in 1..places {
            bytes[97 * place] ^= 1;
        }
        fs::write(&file, bytes).unwrap();
    }
    cold.graft("sweep child.toml --jobs 2").code(0);
    assert_same(&results(&cold), &expected);

    let killed = desk();
    for more in 0..4 {
        let before = killed.trials("child").len();
        let mut sweep = killed.start("sweep child.toml --jobs 2");
        sweep.wait_until("another trial", || {
            killed.trials("child").len() >= (before + more).min(6)
        });
        sweep.signal("KILL");
        sweep.finish();
    }
    killed.graft("sweep child.toml --jobs 2").code(0);
    assert_same(&results(&killed), &expected);
}

#[test]
fn a_cache_that_cannot_be_written_costs_nothing_but_time() {
    let good = desk();
    good.graft("sweep child.toml").code(0);
    let desk = desk();
    desk.write("results/.cache", "a file in its place");
    desk.graft("sweep child.toml").code(0);
    assert_same(&results(&desk), &results(&good));
    let log = fs::read_to_string(desk.trial("child", "frozen", 1).join("log.txt")).unwrap();
    assert!(log.contains("features are not kept there"), "{log}");
}

#[test]
fn a_dry_run_tells_what_is_shared() {
    let desk = desk();
    // 3 repeats of 6 epochs of 70 pictures would be 1260; 4 views are 280, and 16 are for validation.
    desk.graft("sweep child.toml --dry-run")
        .code(0)
        .stdout_has(
            "shared: 4 views of every picture for 3 frozen trials, at most 296 pictures through the backbone\n",
        );
    desk.graft("sweep child.toml --dry-run --set data.transform.views=fresh")
        .code(0);
    desk.graft("sweep child.toml --feature-cache -1").code(2);
}
