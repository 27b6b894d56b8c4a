//! `graft`, its help, and the commands that do not train.

mod desk;

use desk::Desk;

#[test]
fn help_names_the_commands_and_shows_examples() {
    let desk = Desk::new();
    let help = desk.graft("--help").code(0);
    for part in [
        "sweep",
        "preview",
        "report",
        "summary",
        "weights",
        "bench",
        "list",
        "predict",
        "Examples:",
        "graft sweep experiments/quickstart.toml",
        "Exit codes:",
    ] {
        assert!(
            help.stdout.contains(part),
            "{part:?} is missing:\n{}",
            help.stdout
        );
    }
    assert!(
        !help.stdout.contains("worker"),
        "the worker is not for people:\n{}",
        help.stdout
    );
    let help = desk.graft("sweep --help").code(0);
    for flag in [
        "--data-dir",
        "--weights-dir",
        "--results-dir",
        "--jobs",
        "--device",
        "--set",
        "--dry-run",
        "--retry-failed",
        "--fail-fast",
        "--offline",
    ] {
        assert!(
            help.stdout.contains(flag),
            "{flag} is missing:\n{}",
            help.stdout
        );
    }
    assert!(help.stdout.lines().all(|line| line.chars().count() <= 110));
}

#[test]
fn list_has_every_network_and_filters_them() {
    let desk = Desk::new();
    let all = desk.graft("list").code(0).stdout;
    let named = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let names: Vec<String> = all.lines().filter_map(named).collect();
    let registry = graft_model::registry();
    let known: Vec<&str> = registry.iter().map(|entry| entry.name).collect();
    assert_eq!(names, known);
    for (line, entry) in all.lines().zip(registry) {
        assert_eq!(line.ends_with("; frozen only"), entry.extractor, "{line}");
    }
    let some = desk.graft("list mobilenet v3 --weights").code(0).stdout;
    let names: Vec<&str> = some
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names, ["mobilenet_v3_small", "mobilenet_v3_large"]);
    assert!(some.contains("https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth"));
    assert!(!all.contains("https://"));
}

#[test]
fn wrong_arguments_end_with_code_2() {
    let desk = Desk::new();
    desk.graft("").code(2);
    desk.graft("swep x.toml").code(2).stderr_has("sweep");
    desk.graft("sweep").code(2).stderr_has("<EXPERIMENT>");
    desk.graft("sweep x.toml --jobs 0")
        .code(2)
        .stderr_has("--jobs");
    desk.graft("sweep x.toml --job 2")
        .code(2)
        .stderr_has("--jobs");
}

#[test]
fn the_summary_of_every_network_adds_up() {
    let desk = Desk::new();
    // The larger VGGs are as the smallest, and drawing their hundred million weights takes long.
    let large = ["vgg13", "vgg16", "vgg19", "vgg11_bn"];
    let entries = graft_model::registry().iter();
    for entry in entries.filter(|entry| !large.iter().any(|name| entry.name.starts_with(name))) {
        let summary = desk
            .graft(&format!("summary --model {} --classes 3", entry.name))
            .code(0);
        let size = entry.default_size;
        assert!(
            summary
                .stdout
                .contains(&format!("{} for input ", entry.name)),
            "{}",
            summary.stdout
        );
        assert!(
            summary.stdout.contains(&size.to_string()),
            "{}",
            summary.stdout
        );
        assert!(summary.stdout.contains("parameters"), "{}", summary.stdout);
        assert_eq!(summary.stderr, "");
    }
}

#[test]
fn resnet18_has_as_many_parameters_as_torchvisions() {
    // sum(p.numel() for p in torchvision.models.resnet18(num_classes=2).parameters())
    Desk::new()
        .graft("summary --model resnet18 --classes 2")
        .code(0)
        .stdout_has("11,177,538");
    // ... of model.fc alone, the rest frozen: 512 * 2 + 2
    Desk::new()
        .graft("summary --model resnet18 --classes 2 --frozen")
        .code(0)
        .stdout_has("1,026");
}

#[test]
fn options_change_the_network_and_wrong_ones_are_explained() {
    let desk = Desk::new();
    let small = desk
        .graft("summary --model convnet --option depth=[2,2] --option hidden=4 --size 16")
        .code(0);
    let large = desk
        .graft("summary --model convnet --set depth=[8,8] --set hidden=4 --size 16")
        .code(0);
    assert_ne!(small.stdout, large.stdout);
    desk.graft("summary --model convnet --option deph=3")
        .code(2)
        .stderr_has("deph")
        .stderr_has("`depth`");
    desk.graft("summary --model convnet --option depth=deep")
        .code(2)
        .stderr_has("depth");
    desk.graft("summary --model convnet --option depth")
        .code(2)
        .stderr_has("expected KEY=VALUE");
}

#[test]
fn an_unknown_network_is_answered_with_the_known_ones() {
    let failed = Desk::new().graft("summary --model resnet81").code(2);
    failed
        .stderr_has("error: there is no network `resnet81`\n")
        .stderr_has("hint: did you mean `resnet18`?\n")
        .stderr_lacks("known are");
    Desk::new()
        .graft("summary --model something")
        .code(2)
        .stderr_has("error: there is no network `something`\nhint: known are alexnet, convnet, ");
}

#[test]
fn missing_weights_of_a_summary_are_told() {
    let failed = Desk::new()
        .graft("summary --model resnet18 --weights file:gone.safetensors")
        .code(2);
    failed.stderr_has("gone.safetensors");
    Desk::new()
        .graft("summary --model resnet18 --weights gone.safetensors")
        .code(2)
        .stderr_has("file:PATH");
}

#[test]
fn a_report_finds_its_results_by_name_file_and_folder() {
    let desk = Desk::with_tiny();
    desk.graft("report tiny")
        .code(2)
        .stderr_has("error: there are no results of `tiny` in results\nhint: ");
    let swept = desk.graft("sweep tiny.toml --set repeats=1").code(0);
    for what in ["tiny", "tiny.toml", "results/tiny"] {
        let report = desk.graft(&format!("report {what}")).code(0);
        assert_eq!(report.stdout, swept.stdout, "report {what}");
        assert_eq!(report.stderr, "");
    }
    desk.graft("report other")
        .code(2)
        .stderr_has("hint: there are results of tiny");
    desk.graft("report results").code(2).stderr_has("error: ");
    std::fs::rename(desk.path("results"), desk.path("elsewhere")).unwrap();
    desk.graft("report tiny --results-dir elsewhere").code(0);
}
