//! `trial:` weights: experiments that start from the checkpoints of others.

mod experiment_support;

use experiment_support::{GOOD, Session, plan};

/// An experiment whose only variant starts from `weights`, or from nothing.
fn experiment(name: &str, repeats: u32, weights: &str) -> String {
    let weights = if weights.is_empty() {
        String::new()
    } else {
        format!(", weights = \"{weights}\"")
    };
    format!(
        "name = \"{name}\"\nrepeats = {repeats}\n[data]\nsource = \"generated\"\ntask = \"source\"\nside = 32\n\
         train = 10\nval = 5\n[train]\nepochs = 1\nbatch_size = 2\noptimizer = {{ kind = \"sgd\", lr = 0.1 }}\n\
         [[variant]]\nname = \"v\"\nmodel = {{ kind = \"convnet\", depth = [4]{weights} }}\n"
    )
}

/// What is said about a child of `parent.toml` with this content.
fn errors(parent: &str, child: &str) -> String {
    Session::with(child).file("parent.toml", parent).errors()
}

#[test]
fn a_parent_is_found_by_its_file_or_by_its_name() {
    for file in ["parent.toml", "other.toml"] {
        let session = Session::with(&experiment("child", 3, "trial:parent/v"))
            .file(file, &experiment("parent", 1, ""));
        let child = session.load();
        assert_eq!(child.parents["parent"].name, "parent");
        let (parent, variant) = child.parent(&child.variants[0].settings[0]).unwrap();
        assert_eq!((&*parent.name, &*variant.name), ("parent", "v"));
    }
}

#[test]
fn the_parents_of_a_results_folder_are_its_neighbours() {
    let session = Session::new()
        .file("parent/experiment.toml", &experiment("parent", 1, ""))
        .file(
            "child/experiment.toml",
            &experiment("child", 1, "trial:parent/v"),
        );
    let child = session.load_file("child/experiment.toml").unwrap();
    assert_eq!(child.parents["parent"].name, "parent");
}

#[test]
fn transfer_can_be_chained() {
    let session = Session::with(&experiment("c", 2, "trial:b/v"))
        .file("b.toml", &experiment("b", 2, "trial:a/v"))
        .file("a.toml", &experiment("a", 1, "file:imagenet.safetensors"));
    let plan = plan(&session.load());
    let trials: Vec<_> = plan
        .trials
        .iter()
        .map(|t| (t.experiment.as_str(), t.key.repeat, t.dependencies.clone()))
        .collect();
    assert_eq!(
        trials,
        [
            ("a", 1, vec![]),
            ("b", 1, vec![0]),
            ("b", 2, vec![0]),
            ("c", 1, vec![1]),
            ("c", 2, vec![2]),
        ]
    );
    let b = &plan.trials[1];
    assert_eq!(
        plan.trials[3].spec.weights_fingerprint,
        Some(format!("trial:{}", b.key.id))
    );
}

#[test]
fn a_circle_is_refused_with_its_chain() {
    let session = Session::with(&experiment("a", 1, "trial:b/v"))
        .file("b.toml", &experiment("b", 1, "trial:c/v"))
        .file("c.toml", &experiment("c", 1, "trial:x/v"));
    assert_eq!(
        session.errors(),
        "error: c.toml:15: variant.v.model.weights: the experiments lead back to where they started: a → b → c → a\n\
         1 problem; nothing was run"
    );
    assert_eq!(
        Session::with(&experiment("x", 1, "trial:x/v")).errors(),
        "error: x.toml:15: variant.v.model.weights: the experiments lead back to where they started: x → x\n\
         1 problem; nothing was run"
    );
}

#[test]
fn what_does_not_fit_the_parent_is_told() {
    let parent = experiment("parent", 1, "");
    let at = "error: x.toml:15: variant.v.model.weights:";
    let end = "1 problem; nothing was run";
    assert_eq!(
        errors(&parent, &experiment("child", 1, "trial:parent/V")),
        format!(
            "{at} experiment `parent` has no variant `V`; did you mean `trial:parent/v`?\n{end}"
        )
    );
    assert_eq!(
        errors(&parent, &experiment("child", 1, "trial:parent/main")),
        format!("{at} experiment `parent` has no variant `main`; it has `v`\n{end}")
    );
    assert_eq!(
        errors(&parent, &experiment("child", 1, "trial:parnt/v")),
        format!(
            "{at} there is no experiment `parnt`: looked for parnt.toml and for that name in the files beside it; did you mean `parent`?\n{end}"
        )
    );
    assert_eq!(
        errors(
            &experiment("parent", 2, ""),
            &experiment("child", 3, "trial:parent/v")
        ),
        format!(
            "{at} experiment `parent` has 2 repeats, expected 1 or as many as this one, 3\n{end}"
        )
    );
    let grid = parent.clone() + "[grid]\ntrain.epochs = [1, 2]\n";
    assert_eq!(
        errors(&grid, &experiment("child", 1, "trial:parent/v")),
        format!(
            "{at} experiment `parent` has a grid of 2 cells, expected one trial per repeat to start from\n{end}"
        )
    );
    assert_eq!(
        errors(
            &parent.replace("[4]", "[4, 8]"),
            &experiment("child", 1, "trial:parent/v")
        ),
        format!(
            "{at} the weights' network has other options: `depth` is [4, 8] there and [4] here\n{end}"
        )
    );
    let resnet = parent.replace("\"convnet\", depth = [4]", "\"resnet18\"");
    assert_eq!(
        errors(&resnet, &experiment("child", 1, "trial:parent/v")),
        format!(
            "{at} these are weights of `resnet18`, and the model is `convnet`: expected the same network\n{end}"
        )
    );
    let same_name = experiment("Child", 1, "");
    let text = errors(&same_name, &experiment("child", 1, "trial:parent/v"));
    assert!(
        text.contains("would write to the same results folder"),
        "{text}"
    );
}

#[test]
fn what_is_wrong_with_a_parent_is_told_with_its_file() {
    let parent = experiment("parent", 1, "").replace("epochs = 1", "epochs = 0");
    let child = experiment("child", 0, "trial:parent/v");
    assert_eq!(
        errors(&parent, &child),
        "error: x.toml:2: repeats: expected a whole number from 1 to 10000, found 0\n\
         error: parent.toml:10: train.epochs: expected a whole number from 1 to 100000, found 0\n\
         2 problems; nothing was run"
    );
    assert!(errors("name =", &child).contains("error: parent.toml:1: not valid TOML"));
}

#[test]
fn arguments_are_for_the_child_alone() {
    let session = Session::with(&experiment("child", 1, "trial:parent/v"))
        .file("parent.toml", &experiment("parent", 1, ""))
        .set("train.epochs=9");
    let child = session.load();
    assert_eq!(child.variants[0].settings[0].train.epochs, 9);
    assert_eq!(
        child.parents["parent"].variants[0].settings[0].train.epochs,
        1
    );
}

#[test]
fn files_beside_it_that_are_no_experiments_do_no_harm() {
    let session = Session::with(&experiment("child", 1, "trial:parent/v"))
        .file("broken.toml", "[")
        .file("other.toml", GOOD)
        .file("p.toml", &experiment("parent", 1, ""));
    assert_eq!(session.load().parents["parent"].name, "parent");
    let two = session.file("q.toml", &experiment("parent", 1, ""));
    assert!(
        two.errors()
            .contains("several experiments are called `parent`: p.toml, q.toml")
    );
}

#[test]
fn a_convnets_weights_fit_one_size_of_pictures_only() {
    let sized = |name, weights, size| {
        experiment(name, 1, weights).replace(
            "[train]",
            &format!("[data.transform]\nsize = {size}\n[train]"),
        )
    };
    let child = sized("child", "trial:parent/v", 40);
    let errors = errors(&sized("parent", "", 48), &child);
    assert!(
        errors.contains("weights for pictures of size 48, and `data.transform.size` is 40"),
        "{errors}"
    );
    Session::with(&child)
        .file("parent.toml", &sized("parent", "", 40))
        .load();
}
