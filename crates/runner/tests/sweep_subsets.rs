//! Learning curves: sweeps whose trials learn from parts of the training pictures.

mod desk;

use std::{collections::BTreeMap, fs};

use desk::{Desk, TINY, file_name};

/// `trial.toml` of every trial of an experiment, by variant and cell.
fn manifests(desk: &Desk, experiment: &str) -> BTreeMap<String, String> {
    let folders = desk.trials(experiment).into_iter();
    let manifests = folders.map(|folder| {
        let name = file_name(&folder).rsplit_once('-').unwrap().0.to_owned();
        (name, fs::read_to_string(folder.join("trial.toml")).unwrap())
    });
    manifests.collect()
}

#[test]
fn trials_learn_from_as_many_pictures_as_they_are_told() {
    let desk = Desk::new();
    let grid = "[grid]\n\"data.per_class\" = [2, 5]\n";
    let text = TINY.replace("repeats = 3", "repeats = 1");
    let head = text.replace("val = 16\n", "val = 16\ntest = 6\n");
    desk.write(
        "curve.toml",
        format!("{head}{grid}").replace("\"tiny\"", "\"curve\""),
    );
    // Three classes, three epochs: 6 and 15 pictures in batches of 8.
    desk.graft("sweep curve.toml --dry-run")
        .code(0)
        .stdout_has("curve       narrow   per_class=2       1         0       3      3        66")
        .stdout_has("curve       narrow   per_class=5       1         0       3      6        93");
    desk.graft("sweep curve.toml --jobs 2").code(0);
    let manifests = manifests(&desk, "curve");
    assert_eq!(manifests.len(), 4);
    for (name, manifest) in &manifests {
        let expected = if name.contains("per_class=2") { 6 } else { 15 };
        assert!(
            manifest.contains(&format!("train = {expected}\n")),
            "{name}: {manifest}"
        );
        assert!(manifest.contains("test = 6\n"), "{manifest}");
    }
    // More than there are is found before anything runs.
    desk.graft("sweep curve.toml --set grid.data.per_class=[5,11]")
        .code(2)
        .stderr_has("`per_class = 11` is more than there are training pictures: `arrow` has 10");
}

#[test]
fn subsets_share_features_and_lose_nothing_by_it() {
    let start = TINY.find("[[variant]]").unwrap();
    let child = TINY[..start]
        .replace("name = \"tiny\"", "name = \"child\"")
        .replace("repeats = 3", "repeats = 2")
        .replace("[data.transform]", "[data.transform]\nviews = 2");
    let child = format!(
        "{child}\n[[variant]]\nname = \"frozen\"\ntransfer = \"frozen\"\nmodel = {{ kind = \"convnet\", depth = [4, 4], \
         hidden = 8, dropout = 0.25, weights = \"trial:tiny/wide\" }}\n[grid]\n\"data.per_class\" = [4, 8]\n"
    );
    let results = |arguments: &str| {
        let desk = Desk::new();
        desk.write("tiny.toml", TINY.replace("repeats = 3", "repeats = 1"));
        desk.write("child.toml", &child);
        desk.graft(&format!("sweep child.toml {arguments}")).code(0);
        (desk.results("child"), desk)
    };
    let (expected, _) = results("--jobs 1 --feature-cache 0");
    let (found, desk) = results("--jobs 2");
    assert!(found == expected, "the cache changes results");
    // The features of all subsets lie together: one folder for training and one for validation pictures.
    let keys = fs::read_dir(desk.path("results/.cache/features")).unwrap();
    let keys = keys.filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(keys.count(), 2);
}
