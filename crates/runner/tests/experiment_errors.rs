//! What a person is told about a bad experiment file: exact text, since that is what they see.

mod experiment_support;

use experiment_support::{GOOD, Session};

/// What is said about the good experiment with one change.
fn errors(from: &str, to: &str) -> String {
    Session::good_but(from, to).errors()
}

#[test]
fn the_good_experiment_is_good() {
    assert_eq!(Session::with(GOOD).load().name, "good");
}

#[test]
fn a_misspelt_key_gets_a_suggestion() {
    assert_eq!(
        errors("epochs = 20", "epochs = 20\nepoch = 20"),
        "error: x.toml:14: train.epoch: unknown key; did you mean `epochs`?\n\
         1 problem; nothing was run"
    );
    assert_eq!(
        errors("momentum = 0.9", "momentun = 0.9"),
        "error: x.toml:15: train.optimizer.momentun: unknown key; did you mean `momentum`?\n\
         1 problem; nothing was run"
    );
    assert_eq!(
        errors("hidden = 512", "hiden = 512"),
        "error: x.toml:19: variant.scratch.model.hiden: unknown key; did you mean `hidden`?\n\
         1 problem; nothing was run"
    );
}

#[test]
fn a_key_in_the_wrong_table_is_shown_the_right_one() {
    assert_eq!(
        errors("seed = 7", "seed = 7\nbatch_size = 8"),
        "error: x.toml:4: batch_size: unknown key; did you mean `train.batch_size`?\n\
         1 problem; nothing was run"
    );
    assert_eq!(
        errors("epochs = 20", "epochs = 20\nlr = 0.1"),
        "error: x.toml:14: train.lr: unknown key; did you mean `train.optimizer.lr`?\n\
         1 problem; nothing was run"
    );
    assert_eq!(
        errors("seed = 7", "seed = 7\nhead_lr = 10"),
        "error: x.toml:4: head_lr: unknown key; did you mean `head_lr` of a [[variant]]?\n\
         1 problem; nothing was run"
    );
}

#[test]
fn a_key_like_no_other_gets_the_known_ones() {
    assert_eq!(
        errors("epochs = 20", "epochs = 20\nzzz = 1"),
        "error: x.toml:14: train.zzz: unknown key; expected `epochs`, `batch_size`, `optimizer`, \
         `weight_decay_on`, `schedule`, `clip`, `label_smoothing`, `mixup`, `cutmix`, `class_weights`, `best`, \
         `early_stopping`, `validate_every`, `evaluate_train`, `training_mode`, `ema`, `precision`, \
         `deterministic` or `keep_last`\n\
         1 problem; nothing was run"
    );
}

#[test]
fn a_whole_number_is_told_from_everything_else() {
    for (from, to, message) in [
        (
            "epochs = 20",
            "epochs = \"four\"",
            r#"13: train.epochs: expected a whole number from 1 to 100000, found "four""#,
        ),
        (
            "epochs = 20",
            "epochs = 0",
            "13: train.epochs: expected a whole number from 1 to 100000, found 0",
        ),
        (
            "epochs = 20",
            "epochs = -3",
            "13: train.epochs: expected a whole number from 1 to 100000, found -3",
        ),
        (
            "epochs = 20",
            "epochs = 2.5",
            "13: train.epochs: expected a whole number from 1 to 100000, found 2.5",
        ),
        (
            "epochs = 20",
            "epochs = 99999999999999999999",
            "13: train.epochs: expected a whole number from 1 to 100000, found 99999999999999999999",
        ),
        (
            "epochs = 20",
            "epochs = [1]",
            "13: train.epochs: expected a whole number from 1 to 100000, found [1]",
        ),
    ] {
        let expected = format!("error: x.toml:{message}\n1 problem; nothing was run");
        assert_eq!(errors(from, to), expected);
    }
}

#[test]
fn a_number_out_of_range_is_told_with_the_range() {
    for (from, to, message) in [
        (
            "lr = 1e-4",
            "lr = 0",
            "15: train.optimizer.lr: expected a number above 0, at most 1e38, found 0",
        ),
        (
            "lr = 1e-4",
            "lr = -0.1",
            "15: train.optimizer.lr: expected a number above 0, at most 1e38, found -0.1",
        ),
        (
            "lr = 1e-4",
            "lr = nan",
            "15: train.optimizer.lr: expected a number above 0, at most 1e38, found nan",
        ),
        (
            "lr = 1e-4",
            "lr = inf",
            "15: train.optimizer.lr: expected a number above 0, at most 1e38, found inf",
        ),
        (
            "lr = 1e-4",
            "lr = 1e99",
            "15: train.optimizer.lr: expected a number above 0, at most 1e38, found 1e99",
        ),
        (
            "lr = 1e-4",
            "lr = 1e999",
            "15: train.optimizer.lr: expected a number above 0, at most 1e38, found inf",
        ),
        (
            "momentum = 0.9",
            "momentum = 1",
            "15: train.optimizer.momentum: expected a number from 0 to below 1, found 1",
        ),
        (
            "momentum = 0.9",
            "momentum = 2024-01-01",
            "15: train.optimizer.momentum: expected a number from 0 to below 1, found the date 2024-01-01",
        ),
    ] {
        let expected = format!("error: x.toml:{message}\n1 problem; nothing was run");
        assert_eq!(errors(from, to), expected);
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_told_with_the_right_one() {
    for (from, to, message) in [
        (
            "seed = 7",
            "seed = -1",
            "3: seed: expected a whole number from 0 to 9223372036854775807, found -1",
        ),
        (
            "repeats = 2",
            "repeats = true",
            "2: repeats: expected a whole number from 1 to 10000, found true",
        ),
        (
            "size = 224",
            "size = 0",
            "10: data.transform.size: expected a whole number from 1 to 4096, found 0",
        ),
        (
            "path = \"pictures\"",
            "path = \" \"",
            r#"7: data.path: expected the folder of the pictures, found " ""#,
        ),
        (
            "path = \"pictures\"",
            "path = \"p\"\nurl = \"ftp://x\"",
            r#"8: data.url: expected an address that starts with `https://`, found "ftp://x""#,
        ),
        (
            "dropout = 0.5",
            "dropout = 1.0",
            "19: variant.scratch.model.dropout: expected a number from 0 to below 1, found 1.0",
        ),
        (
            "depth = [4, 8]",
            "depth = [4, \"8\"]",
            r#"19: variant.scratch.model.depth: expected a list of 1 to 16 whole numbers from 1 to 65536, found [4, "8"]"#,
        ),
        (
            "transfer = \"frozen\"",
            "transfer = \"frozen\"\nhead_lr = 0",
            "30: variant.frozen.head_lr: expected a number above 0, at most 1000000.0, found 0",
        ),
        (
            "[data.transform]\nsize = 224",
            "transform = 224",
            "9: data.transform: expected a table, found 224",
        ),
        (
            "optimizer = { kind = \"sgd\", lr = 1e-4, momentum = 0.9 }",
            "optimizer = \"sgd\"",
            r#"15: train.optimizer: expected a table, found "sgd""#,
        ),
    ] {
        let expected = format!("error: x.toml:{message}\n1 problem; nothing was run");
        assert_eq!(errors(from, to), expected);
    }
}

#[test]
fn a_wrong_word_gets_a_suggestion() {
    for (from, to, message) in [
        (
            "source = \"image-folder\"",
            "source = \"image_folder\"",
            r#"6: data.source: expected `image-folder`, `csv`, `cifar10` or `generated`, found "image_folder"; did you mean `image-folder`?"#,
        ),
        (
            "transfer = \"frozen\"",
            "transfer = \"frozn\"",
            r#"29: variant.frozen.transfer: expected `fine-tune` or `frozen`, found "frozn"; did you mean `frozen`?"#,
        ),
        (
            "kind = \"sgd\"",
            "kind = \"adamm\"",
            r#"15: train.optimizer.kind: expected `sgd`, `adam`, `adamw` or `rmsprop`, found "adamm"; did you mean `adam`?"#,
        ),
        (
            "transfer = \"frozen\"",
            "transfer = \"frozen\"\nbatch_norm = \"runing\"",
            r#"30: variant.frozen.batch_norm: expected `batch` or `running`, found "runing"; did you mean `running`?"#,
        ),
        (
            "size = 224",
            "size = 224\ntrain = [\"random-resize-crop\"]",
            "11: data.transform.train[1]: `random-resize-crop` is not a transform; did you mean `random-resized-crop`?",
        ),
        (
            "size = 224",
            "size = 224\neval = [\"resize\", \"center-crop\"]",
            "11: data.transform.eval[1]: `resize`: expected a number of pixels, such as `resize 256`",
        ),
    ] {
        let expected = format!("error: x.toml:{message}\n1 problem; nothing was run");
        assert_eq!(errors(from, to), expected);
    }
    let text = errors("kind = \"convnet\"", "kind = \"convent\"");
    assert!(
        text.starts_with(
            "error: x.toml:19: variant.scratch.model.kind: expected `alexnet`, `convnet`, "
        ),
        "{text}"
    );
    assert!(
        text.contains("found \"convent\"; did you mean `convnet`?\n1 problem"),
        "{text}"
    );
}

#[test]
fn missing_keys_are_told_once_where_they_belong() {
    assert_eq!(
        errors("batch_size = 4\n", ""),
        "error: x.toml:12: train.batch_size: missing; expected a whole number from 1 to 65536\n\
         1 problem; nothing was run"
    );
    assert_eq!(
        errors("name = \"good\"\n", ""),
        "error: x.toml: name: missing; expected a name of 1 to 64 letters, digits, `.`, `_` or `-` that does not start with `.`\n\
         1 problem; nothing was run"
    );
    assert_eq!(
        Session::with("").errors(),
        "error: x.toml: data: missing; expected a table\n\
         error: x.toml: name: missing; expected a name of 1 to 64 letters, digits, `.`, `_` or `-` that does not start with `.`\n\
         error: x.toml: variant: missing; expected at least one variant\n  \
         hint: write [[variant]] before the keys of each variant\n\
         3 problems; nothing was run"
    );
}

#[test]
fn two_variants_of_one_name_are_refused() {
    assert_eq!(
        errors("name = \"frozen\"", "name = \"pretrained\""),
        "error: x.toml:27: variant \"pretrained\" is declared twice (first on line 22)\n\
         1 problem; nothing was run"
    );
}

#[test]
fn names_must_do_as_names_of_folders() {
    let expected =
        "expected a name of 1 to 64 letters, digits, `.`, `_` or `-` that does not start with `.`";
    for name in ["", "a b", "../up", ".hidden", "ä", &"x".repeat(65)] {
        assert_eq!(
            errors("name = \"good\"", &format!("name = {name:?}")),
            format!(
                "error: x.toml:1: name: {expected}, found {name:?}\n1 problem; nothing was run"
            )
        );
        let text = errors("name = \"frozen\"", &format!("name = {name:?}"));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn weights_that_can_not_be_read_are_told() {
    assert_eq!(
        errors(
            "weights = \"hf:timm/resnet18.tv_in1k\" }\ntransfer = \"frozen\"",
            "weights = \"timm/resnet18\" }\ntransfer = \"frozen\""
        ),
        "error: x.toml:28: variant.frozen.model.weights: `timm/resnet18` does not say where weights are: \
         expected `hf:OWNER/REPO`, `https://…`, `file:PATH` or `trial:EXPERIMENT/VARIANT`\n\
         1 problem; nothing was run"
    );
}

#[test]
fn frozen_needs_weights() {
    assert_eq!(
        errors("dropout = 0.5 }", "dropout = 0.5 }\ntransfer = \"frozen\""),
        "error: x.toml:20: variant.scratch.transfer: only the head of a frozen network trains, so its backbone needs weights, and the model has none\n  \
         hint: give the model `weights`, or leave `transfer` out to train it from scratch\n\
         1 problem; nothing was run"
    );
}

#[test]
fn backbones_are_cut_and_frozen_at_layers_they_have() {
    let layers = "maxpool, layer1, layer1.0, layer1.1, layer2, layer2.0, layer2.1, layer3, layer3.0, layer3.1, layer4, \
                  layer4.0, layer4.1, avgpool";
    let weights = "weights = \"hf:timm/resnet18.tv_in1k\" }\ntransfer = ";
    let fine_tuned = format!("{weights}\"fine-tune\"");
    let cut = fine_tuned.replace(" }", ", cut = \"layer5\" }");
    assert_eq!(
        errors(&fine_tuned, &cut),
        format!(
            "error: x.toml:23: variant.pretrained.model.cut: expected one of {layers}, found `layer5`; did you mean `layer1`?\n\
             1 problem; nothing was run"
        )
    );
    let freeze = format!("{fine_tuned}\nfreeze = \"layer\"");
    assert_eq!(
        errors(&fine_tuned, &freeze),
        format!(
            "error: x.toml:25: variant.pretrained.freeze: expected one of {layers}, found `layer`; did you mean `layer1`?\n\
             1 problem; nothing was run"
        )
    );
    let frozen = format!("{weights}\"frozen\"");
    assert_eq!(
        errors(&frozen, &format!("{frozen}\nfreeze = \"layer2\"")),
        "error: x.toml:30: variant.frozen.freeze: the whole backbone is frozen already\n  \
         hint: leave `freeze` out, or set `transfer` to \"fine-tune\"\n\
         1 problem; nothing was run"
    );
    assert_eq!(
        errors("dropout = 0.5 }", "dropout = 0.5 }\nfreeze = \"pool1\""),
        "error: x.toml:20: variant.scratch.freeze: frozen layers need weights, and the model has none\n  \
         hint: give the model `weights`, or leave `freeze` out\n\
         1 problem; nothing was run"
    );
}

#[test]
fn a_head_has_layers_of_some_units() {
    let with = |head: &str| {
        let text = format!("dropout = 0.5, head = {head} }}");
        errors("dropout = 0.5 }", &text)
    };
    for (head, problem) in [
        (
            "{ hidden = [0] }",
            "hidden[1]: expected a whole number from 1 to 65536, found 0",
        ),
        (
            "{ hidden = 16 }",
            "hidden: expected a list of whole numbers from 1 to 65536, found 16",
        ),
        (
            "{ dropout = 1 }",
            "dropout: expected a number from 0 to below 1, found 1",
        ),
        (
            "{ units = 16 }",
            "units: unknown key; expected `hidden` or `dropout`",
        ),
    ] {
        assert_eq!(
            with(head),
            format!(
                "error: x.toml:19: variant.scratch.model.head.{problem}\n1 problem; nothing was run"
            )
        );
    }
}

#[test]
fn the_reference_must_be_a_variant() {
    let reference =
        |name: &str| Session::with(&format!("{GOOD}\n[report]\nreference = {name}\n")).errors();
    assert_eq!(
        reference("\"scrach\""),
        "error: x.toml:32: report.reference: no variant is called \"scrach\"; did you mean `scratch`?\n\
         1 problem; nothing was run"
    );
    assert_eq!(
        reference("\"baseline\""),
        "error: x.toml:32: report.reference: no variant is called \"baseline\"; expected `scratch`, `pretrained` or `frozen`\n\
         1 problem; nothing was run"
    );
    assert_eq!(
        reference("1"),
        "error: x.toml:32: report.reference: expected the name of a variant, found 1\n\
         1 problem; nothing was run"
    );
}

#[test]
fn bad_axes_are_told() {
    let grid = |axes: &str| Session::with(&format!("{GOOD}\n[grid]\n{axes}\n")).errors();
    for (axes, message) in [
        (
            "\"train.optimizer.lr\" = []",
            "32: grid.\"train.optimizer.lr\": the axis has no values; expected at least one\n  hint: leave the axis out, or give it values such as [1e-4, 1e-3]",
        ),
        (
            "\"train.optimizer.lr\" = 0.1",
            "32: grid.\"train.optimizer.lr\": expected a list of values, such as [1e-4, 1e-3], found 0.1",
        ),
        (
            "\"train.optimizer.lr\" = [0.1, \"x\"]",
            "32: grid.\"train.optimizer.lr\"[2]: expected a number above 0, at most 1e38, found \"x\"",
        ),
        (
            "\"train.optimizer.lr\" = [1, 1.0]",
            "32: grid.\"train.optimizer.lr\"[2]: the value 1 is there twice",
        ),
        (
            "\"train.optimizer.rl\" = [1]",
            "32: grid.\"train.optimizer.rl\": unknown key; did you mean `train.optimizer.lr`?",
        ),
        (
            "\"optimizer.lr\" = [1]",
            "32: grid.\"optimizer.lr\": unknown key; did you mean `train.optimizer.lr`?",
        ),
        (
            "train.epoch = [1]",
            "32: grid.train.epoch: unknown key; did you mean `train.epochs`?",
        ),
        (
            "zzz = [1]",
            "32: grid.zzz: unknown key; expected a key that a variant can override, such as `train.optimizer.lr`",
        ),
        (
            "\"model.kind\" = [\"resnet18\"]",
            "32: grid.\"model.kind\": a grid can't change the kind of network: declare a [[variant]] for each",
        ),
        (
            "name = [\"a\"]",
            "32: grid.name: a grid can't change the name of a variant",
        ),
        (
            "\"train.epochs\" = [1]\ntrain.epochs = [2]",
            "33: grid.train.epochs: the axis `train.epochs` sets the same key",
        ),
    ] {
        let expected = format!("error: x.toml:{message}\n1 problem; nothing was run");
        assert_eq!(grid(axes), expected);
    }
    assert_eq!(
        grid("\"model.dropout\" = [0.1, 0.2]"),
        "error: x.toml:32: grid.\"model.dropout\": variant `frozen` has no `model.dropout`\n  \
         hint: an axis multiplies every variant, so all of them need its key\n\
         error: x.toml:32: grid.\"model.dropout\": variant `pretrained` has no `model.dropout`\n  \
         hint: an axis multiplies every variant, so all of them need its key\n\
         2 problems; nothing was run"
    );
    let many = (1..=101)
        .map(|i| i.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    assert_eq!(
        grid(&format!(
            "\"train.epochs\" = [{many}]\n\"train.batch_size\" = [{many}]"
        )),
        "error: x.toml:32: grid: the grid has more than 10000 cells\n1 problem; nothing was run"
    );
}

#[test]
fn transforms_that_end_elsewhere_are_refused() {
    assert_eq!(
        errors("size = 224", "size = 224\neval = [\"resize 256\"]"),
        "error: x.toml:11: data.transform.eval: the eval transform [\"resize 256\"] ends in pictures whose shorter side is 256, expected 224 × 224 pixels\n  \
         hint: add `center-crop` at the end\n\
         1 problem; nothing was run"
    );
}

#[test]
fn extractors_are_for_frozen_transfer_only() {
    let frozen = GOOD.rfind("{ kind = \"resnet18\"").unwrap();
    let extractor = |transfer: &str| {
        let model = "{ kind = \"dinov2_vits14\", weights = \"file:dinov2.pth\" }";
        Session::with(&format!("{}{model}\n{transfer}\n", &GOOD[..frozen]))
    };
    assert_eq!(extractor("transfer = \"frozen\"").load().name, "good");
    let refused = "dinov2_vits14 is a fixed extractor of features: its backbone can't be trained\n  \
                   hint: set `transfer` to \"frozen\" and give the model `weights`\n\
                   1 problem; nothing was run";
    assert_eq!(
        extractor("transfer = \"fine-tune\"").errors(),
        format!("error: x.toml:29: variant.frozen.transfer: {refused}")
    );
    assert_eq!(
        extractor("").errors(),
        format!("error: x.toml:26: transfer: {refused}")
    );
    assert_eq!(
        extractor("transfer = \"frozen\"\nbatch_norm = \"batch\"").errors(),
        "error: x.toml:30: variant.frozen.batch_norm: dinov2_vits14 is a fixed extractor of features: it can't use the batch's statistics\n  \
         hint: leave `batch_norm` out\n\
         1 problem; nothing was run"
    );
    let text = extractor("transfer = \"frozen\"\ndata = { transform = { size = 225 } }").errors();
    assert!(
        text.contains(
            "dinov2_vits14 needs pictures whose side is a multiple of 14 pixels, found 225"
        ),
        "{text}"
    );
}

#[test]
fn a_network_too_deep_for_its_pictures_is_refused() {
    let text = errors("size = 224", "size = 2");
    assert!(
        text.contains("error: x.toml:19: variant.scratch.model.depth: expected at most 1 convolutions for pictures of 2×2 pixels"),
        "{text}"
    );
}

#[test]
fn variants_must_be_a_list_of_tables() {
    assert_eq!(
        Session::with("name = \"x\"\n[data]\nsource = \"image-folder\"\npath = \"p\"\n[variant]\nname = \"a\"\n").errors(),
        "error: x.toml:5: variant: expected a list of tables, found a table\n  \
         hint: write [[variant]] before the keys of each variant\n\
         1 problem; nothing was run"
    );
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = GOOD
        .replace("seed = 7", "sede = 7")
        .replace("path =", "pth =")
        .replace("epochs = 20", "epochs = 0")
        .replace("lr = 1e-4", "lr = \"fast\"")
        .replace("hidden = 512", "hidden = 0")
        .replace("name = \"frozen\"", "name = \"scratch\"");
    assert_eq!(
        Session::with(&text)
            .set("repeats=none")
            .set("train.momentum=0.5")
            .errors(),
        "error: x.toml:3: sede: unknown key; did you mean `seed`?\n\
         error: x.toml:5: data.path: missing; expected the folder of the pictures\n\
         error: x.toml:7: data.pth: unknown key; did you mean `path`?\n\
         error: x.toml:13: train.epochs: expected a whole number from 1 to 100000, found 0\n\
         error: x.toml:15: train.optimizer.lr: expected a number above 0, at most 1e38, found \"fast\"\n\
         error: x.toml:19: variant.scratch.model.hidden: expected a whole number from 1 to 1048576, found 0\n\
         error: x.toml:27: variant \"scratch\" is declared twice (first on line 18)\n\
         error: --set repeats=none: expected a whole number from 1 to 10000, found \"none\"\n\
         error: --set train.momentum=0.5: unknown key; did you mean `train.optimizer.momentum`?\n\
         9 problems; nothing was run"
    );
}

#[test]
fn syntax_errors_show_the_line() {
    assert_eq!(
        Session::with("name = \"x\"\nrepeats = two\n").errors(),
        "error: x.toml:2: not valid TOML: invalid boolean, expected `true`\n    |\n  2 | repeats = two\n    |           ^^^\n  \
         hint: a text stands in quotes\n\
         1 problem; nothing was run"
    );
    let text = Session::with("name = \"x\"\nname = \"y\"\n").errors();
    assert!(
        text.starts_with("error: x.toml:2: not valid TOML: duplicate key\n"),
        "{text}"
    );
    assert!(
        text.contains("\n  2 | name = \"y\"\n    | ^^^^\n"),
        "{text}"
    );
    // Columns count characters, and the end of the file is a place too.
    let text = Session::with("\"größe\" = ?\n").errors();
    assert!(
        text.contains("\n  1 | \"größe\" = ?\n    |           ^\n"),
        "{text}"
    );
    Session::with("[data\n").errors();
    Session::with("a = \"").errors();
}

#[test]
fn a_file_that_can_not_be_read_is_told_by_name() {
    let session = Session::new().file("quickstart.toml", GOOD);
    let text = session.load_file("quikstart.toml").unwrap_err().to_string();
    assert!(
        text.contains("quikstart.toml: failed to read the experiment: "),
        "{text}"
    );
    assert!(text.contains("hint: did you mean `"), "{text}");
    assert!(text.contains("quickstart.toml`?"), "{text}");

    let path = session.path("x.toml");
    std::fs::write(&path, b"name = \"a\"\nseed = \xff\n").unwrap();
    assert_eq!(
        session.errors(),
        "error: x.toml: not a text in UTF-8: line 2 has a byte that is none\n1 problem; nothing was run"
    );
}

#[test]
fn views_are_fresh_or_a_number() {
    let found = |views: &str| errors("size = 224", &format!("size = 224\nviews = {views}"));
    let expected = |found: &str, hint: &str| {
        format!(
            "error: x.toml:11: data.transform.views: expected `fresh` or a whole number from 1 to 10000, found {found}\n  hint: {hint}\n\
             1 problem; nothing was run"
        )
    };
    let both =
        "`views = 20` gives every training picture 20 views, `\"fresh\"` a new one every epoch";
    for (views, shown) in [
        ("-3", "-3"),
        ("2.5", "2.5"),
        ("true", "true"),
        ("[20]", "[20]"),
        ("\"all\"", "\"all\""),
    ] {
        assert_eq!(found(views), expected(shown, both));
    }
    assert_eq!(found("0"), expected("0", both));
    assert_eq!(
        found("10001"),
        expected("10001", "`\"fresh\"` draws a new view every epoch")
    );
    assert_eq!(
        found("\"20\""),
        expected("\"20\"", "write it without quotes: `views = 20`")
    );
    assert_eq!(
        found("\"fresch\""),
        expected("\"fresch\"", "did you mean `\"fresh\"`?")
    );
}

#[test]
fn steps_with_several_arguments_say_what_they_expect() {
    let found = |step: &str| errors("size = 224", &format!("size = 224\ntrain = [\"{step}\"]"));
    let expected = |text: &str| {
        format!("error: x.toml:11: data.transform.train[1]: {text}\n1 problem; nothing was run")
    };
    assert_eq!(
        found("color-jitter 0.4 0.4"),
        expected(
            "`color-jitter 0.4 0.4`: expected brightness, contrast and saturation from 0 to 100 and maybe hue from 0 to \
             0.5, such as `color-jitter 0.4 0.4 0.4 0.1`"
        )
    );
    assert_eq!(
        found("colour-jitter 0.4 0.4 0.4"),
        expected("`colour-jitter` is not a transform; did you mean `color-jitter`?")
    );
}

#[test]
fn what_a_frozen_backbone_makes_of_mixed_pictures_is_not_kept() {
    let with = |views: &str| {
        Session::good_but("size = 224", &format!("size = 224\nviews = {views}"))
            .set("train.mixup=0.2")
            .set("train.cutmix=1")
    };
    assert_eq!(
        with("20").errors(),
        "error: x.toml:30: variant.frozen.transfer: `mixup` mixes pictures anew in every epoch, so what a frozen backbone \
         makes of `views = 20` can't be kept\n  \
         hint: set `views` to \"fresh\" for this variant, or its `train.mixup` to 0\n1 problem; nothing was run"
    );
    let experiment = with("\"fresh\"").load();
    for name in ["scratch", "frozen"] {
        let train = &experiment.variant(name).unwrap().settings[0].train;
        assert_eq!((train.mixup, train.cutmix), (0.2, 1.0));
    }
    let fine = with("20")
        .set("variant.frozen.data.transform.views=fresh")
        .load();
    assert!(fine.variant("scratch").unwrap().settings[0].train.mixes());
}

#[test]
fn what_can_not_work_is_refused() {
    let lr = "lr = 1e-4, momentum = 0.9 }";
    for (from, to, expected) in [
        (
            lr,
            "lr = 1e-4, momentum = 0.9 }\nclass_weights = [0, 0.0]",
            "x.toml:16: train.class_weights: expected a list of numbers from 0 on, one for each class, and not all of them 0, found [0, 0.0]",
        ),
        (
            lr,
            "lr = 1e-4, momentum = 0.9 }\nclass_weights = []",
            "x.toml:16: train.class_weights: expected a list of numbers from 0 on, one for each class, and not all of them 0, found []",
        ),
        (
            lr,
            "lr = 1e-4, nesterov = true }",
            "x.toml:15: train.optimizer.nesterov: Nesterov's momentum is one, and `momentum` is 0\n  hint: set `momentum`",
        ),
        (
            lr,
            "lr = 1e-4, momentum = 0.9 }\nclip = {}",
            "x.toml:16: train.clip: expected `norm` or `value`, or both: nothing is clipped otherwise\n  hint: leave `clip` out",
        ),
        (
            "tv_in1k\" }\ntransfer = \"fine-tune\"",
            "tv_in1k\" }\nfreeze = \"layer2\"\nlayer_lr = { layer1 = 0.5, layer3 = 0.1, \"layer2.1\" = 0.1 }",
            "variant.pretrained.layer_lr.layer1: expected a layer behind `layer2`, up to which nothing trains, found `layer1`",
        ),
    ] {
        let found = errors(from, to);
        assert!(found.contains(expected), "{expected}\n{found}");
    }
    // Another layer of the file may have what is missing.
    let momentum =
        "transfer = \"frozen\"\ntrain = { optimizer = { momentum = 0.9 }, clip = { norm = 1 } }";
    let text = GOOD
        .replace(lr, "lr = 1e-4, nesterov = true }\nclip = {}")
        .replace(
            "dropout = 0.5 }",
            "dropout = 0.5 }\ntrain = { optimizer = { momentum = 0.5 }, clip = { value = 1 } }",
        )
        .replace(
            "transfer = \"fine-tune\"",
            &momentum.replace("frozen", "fine-tune"),
        )
        .replace("transfer = \"frozen\"", momentum);
    assert_eq!(Session::with(&text).load().variants.len(), 3);
}

#[test]
fn all_unknown_layers_are_named() {
    let found = errors(
        "weights = \"hf:timm/resnet18.tv_in1k\" }\ntransfer = \"fine-tune\"",
        "weights = \"hf:timm/resnet18.tv_in1k\", cut = \"layr3\" }\nfreeze = \"layer22\"\nlayer_lr = { layer9 = 0.1, foo = 1 }",
    );
    for expected in [
        "model.cut: expected one of maxpool, ",
        "found `layr3`; did you mean `layer3`?",
        "freeze: expected one of ",
        "found `layer22`; did you mean `layer2`?",
        "layer_lr.layer9: expected one of ",
        "layer_lr.foo: expected one of ",
        "found `foo`\n",
        "4 problems; nothing was run",
    ] {
        assert!(found.contains(expected), "{expected}\n{found}");
    }
}

#[test]
fn advice_makes_sense() {
    let stopping = |keys: &str| {
        let to = format!("momentum = 0.9 }}\nearly_stopping = {{ patience = 3, {keys} }}");
        errors("momentum = 0.9 }", &to)
    };
    let found = stopping("mode = \"min\"");
    assert!(
        found.contains("train.early_stopping.mode: unknown key; expected `monitor`, `patience` or `min_delta`\n"),
        "{found}"
    );
    let found = stopping("min_delta = -1");
    assert!(
        found.contains("expected a number from 0 to 1e38, found -1"),
        "{found}"
    );
    let found = Session::with(&format!("{GOOD}[grid]\nzip = [{{}}]\n")).errors();
    assert!(
        found.contains("the table has no axes; expected some that move together, such as"),
        "{found}"
    );
    let twice = GOOD.replace("\"pretrained\"", "\"scratch\"");
    let found = Session::with(&format!("{twice}[report]\nreference = \"y\"\n")).errors();
    assert!(
        found.contains("expected `scratch` or `frozen`\n"),
        "{found}"
    );
}
