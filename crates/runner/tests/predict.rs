//! `graft predict`: what it prints, in which order, and what it refuses.

mod desk;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use desk::{Desk, Finished, TINY, bmp};
use serde_json::Value;

/// A desk with a finished trial of a tiny network for three classes, and where that is.
fn trained() -> (Desk, PathBuf) {
    let desk = Desk::new();
    desk.write("tiny.toml", TINY.replace("repeats = 3", "repeats = 1"));
    desk.graft("sweep tiny.toml").code(0);
    let trial = desk.trial("tiny", "narrow", 1);
    (desk, trial)
}

impl Desk {
    fn predict(&self, trial: &std::path::Path, arguments: &str) -> Finished {
        self.graft(&format!("predict --trial {} {arguments}", trial.display()))
    }
}

/// The paths in the first column of CSV.
fn paths(csv: &str) -> Vec<&str> {
    csv.lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap())
        .collect()
}

fn lines(json: &str) -> Vec<Value> {
    json.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn formats_order_and_patterns() {
    let (desk, trial) = trained();
    let names = ["b.bmp", "a.bmp", "more/2.bmp", "more/1.BMP"];
    for (number, name) in names.into_iter().enumerate() {
        desk.write(name, bmp(40 * number as u8, 200, 7));
    }
    desk.write("more/notes.txt", "no picture");
    // The order of the arguments; a folder is sorted, and has pictures only.
    let csv = desk
        .predict(&trial, "--top 1 --format csv b.bmp more a.bmp b.bmp")
        .code(0);
    assert_eq!(csv.stderr, "");
    assert!(
        csv.stdout
            .starts_with("path,rank,index,class,probability\nb.bmp,1,"),
        "{}",
        csv.stdout
    );
    assert_eq!(
        paths(&csv.stdout),
        ["b.bmp", "more/1.BMP", "more/2.bmp", "a.bmp", "b.bmp"]
    );
    let quoted = desk
        .predict(&trial, "--top 1 --format csv */[12].* ?.bmp")
        .code(0);
    assert_eq!(
        paths(&quoted.stdout),
        ["more/1.BMP", "more/2.bmp", "a.bmp", "b.bmp"]
    );
    let deep = desk.predict(&trial, "--top 1 --format csv m*/**").code(1);
    assert_eq!(paths(&deep.stdout), ["more/1.BMP", "more/2.bmp"]);
    deep.stderr_has("error: more/notes.txt: ");

    // No more classes than there are; the probabilities of all add up.
    let csv = desk.predict(&trial, "--format csv a.bmp").code(0);
    let json = lines(&desk.predict(&trial, "--format json a.bmp").code(0).stdout);
    let classes = json[0]["classes"].as_array().unwrap();
    assert_eq!(
        (json.len(), classes.len(), csv.stdout.lines().count()),
        (1, 3, 4)
    );
    let probability = |class: &Value| class["probability"].as_f64().unwrap();
    assert!((classes.iter().map(probability).sum::<f64>() - 1.0).abs() < 1e-6);
    assert!(classes.is_sorted_by(|a, b| probability(a) >= probability(b)));
    for (class, line) in classes.iter().zip(csv.stdout.lines().skip(1)) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(class["index"].to_string(), cells[2]);
        assert_eq!(class["name"], cells[3]);
        assert_eq!(probability(class), cells[4].parse::<f64>().unwrap());
    }

    let text = desk
        .predict(&trial, "--top 2 a.bmp more/2.bmp")
        .code(0)
        .stdout;
    let text: Vec<&str> = text.lines().collect();
    assert_eq!(
        (text.len(), text[0], text[3], text[4]),
        (7, "a.bmp", "", "more/2.bmp")
    );
    assert!(text[1].starts_with(&format!("  {}", classes[0]["name"].as_str().unwrap())));
    assert!(
        text[1].contains(&format!("{:6.2} %", 100.0 * probability(&classes[0]))),
        "{text:?}"
    );
    assert!(
        !text.concat().contains('\u{1b}'),
        "colours are for terminals"
    );
}

#[test]
fn what_cannot_be_read_is_named_and_the_others_are_predicted() {
    let (desk, trial) = trained();
    // More than goes through the network at a time.
    for number in 0..70 {
        desk.write(&format!("many/{number:02}.bmp"), bmp(number, 9, 200));
    }
    desk.write("many/33.bmp", "no picture");
    desk.write("many/50.bmp", "");
    fs::create_dir(desk.path("empty")).unwrap();
    let done = desk
        .predict(&trial, "--top 1 --format json empty many gone.bmp no*.bmp")
        .code(1);
    let found = lines(&done.stdout);
    assert_eq!(found.len(), 73);
    for (number, line) in found[1..71].iter().enumerate() {
        assert_eq!(line["path"], format!("many/{number:02}.bmp"));
        let is_good = line["classes"].is_array() && line["error"].is_null();
        assert_eq!(is_good, ![33, 50].contains(&number), "{line}");
    }
    for (place, part) in [
        (0, "has no pictures"),
        (34, "no JPEG"),
        (51, "empty"),
        (71, "no such file"),
        (72, "nothing matches"),
    ] {
        let error = found[place]["error"].as_str().unwrap();
        assert!(error.contains(part), "{error}");
    }
    done.stderr_has("error: many/33.bmp: its content is no JPEG, PNG, WebP or BMP")
        .stderr_has("hint: replace or delete the file")
        .stderr_has(
            "error: empty: the folder has no pictures\nhint: pictures are files that end in .jpg",
        )
        .stderr_has("error: gone.bmp: there is no such file or folder\nhint: ")
        .stderr_has("error: no*.bmp: nothing matches this pattern\n")
        .stderr_has("error: 5 of 73 pictures could not be predicted\n");
}

#[test]
fn without_a_picture_there_is_nothing_to_do() {
    let (desk, trial) = trained();
    fs::create_dir(desk.path("empty")).unwrap();
    for (arguments, part) in [
        ("empty", "empty: the folder has no pictures\nhint: "),
        (
            "gone.jpg",
            "gone.jpg: there is no such file or folder\nhint: ",
        ),
        (
            "*.jpg empty",
            "*.jpg: nothing matches this pattern (and 1 more",
        ),
    ] {
        let failed = desk.predict(&trial, arguments).code(2);
        assert_eq!(failed.stdout, "");
        failed.stderr_has(&format!("error: no picture to predict: {part}"));
    }
    desk.graft("predict a.jpg").code(2).stderr_has("--model");
    desk.graft("predict --model resnet18")
        .code(2)
        .stderr_has("<IMAGE>");
    desk.graft("predict --model resnet18 --trial x a.jpg")
        .code(2)
        .stderr_has("cannot be used with");
}

#[test]
fn a_trial_without_a_best_checkpoint_is_told() {
    let (desk, trial) = trained();
    desk.write("a.bmp", bmp(1, 2, 3));
    desk.graft("predict --trial gone a.bmp")
        .code(2)
        .stderr_has("error: there is no trial at gone\nhint: ");
    for folder in ["results/tiny", "results/tiny/trials"] {
        desk.graft(&format!("predict --trial {folder} a.bmp"))
            .code(2)
            .stderr_has(&format!(
                "error: {folder} is no folder of a trial\nhint: trials are {folder}/"
            ))
            .stderr_has("narrow-base-r01-");
    }
    desk.graft("predict --trial . a.bmp")
        .code(2)
        .stderr_has("hint: a trial's folder is results/");
    let best = trial.join("best.safetensors");
    let bytes = fs::read(&best).unwrap();
    fs::write(&best, &bytes[..bytes.len() / 2]).unwrap();
    desk.predict(&trial, "a.bmp")
        .code(2)
        .stderr_has("best.safetensors");
    fs::write(&best, "no checkpoint").unwrap();
    desk.predict(&trial, "a.bmp")
        .code(2)
        .stderr_has("no readable checkpoint")
        .stderr_has("hint: --trial takes");
    fs::remove_file(&best).unwrap();
    desk.predict(&trial, "a.bmp")
        .code(2)
        .stderr_has("has no best checkpoint: the file is gone\nhint: ");
}

#[test]
fn weights_of_a_kind_and_their_classes() {
    let (desk, trial) = trained();
    desk.write("a.bmp", bmp(1, 2, 3));
    let best = trial.join("best.safetensors");
    fs::copy(&best, desk.path("w.safetensors")).unwrap();
    let tiny = "predict --model convnet --option depth=[2,2] --option hidden=4 --size 16";
    let plain = desk
        .graft(&format!(
            "{tiny} --weights w.safetensors --format csv a.bmp"
        ))
        .code(0);
    assert!(plain.stdout.contains(",class 2,"), "{}", plain.stdout);
    let named = desk
        .graft(&format!(
            "{tiny} --weights file:w.safetensors --format csv a.bmp"
        ))
        .code(0);
    assert_eq!(plain.stdout, named.stdout);

    desk.write("names.txt", "one\ntwo\nthree\n");
    let names = desk
        .graft(&format!(
            "{tiny} --weights w.safetensors --classes names.txt --format csv a.bmp"
        ))
        .code(0);
    assert_eq!(
        names.stdout,
        plain
            .stdout
            .replace("class 0", "one")
            .replace("class 1", "two")
            .replace("class 2", "three")
    );
    desk.write("names.txt", "one\ntwo\n");
    desk.graft(&format!(
        "{tiny} --weights w.safetensors --classes names.txt a.bmp"
    ))
    .code(2)
    .stderr_has("error: names.txt has 2 names, but the network tells 3 classes apart\nhint: ");

    desk.graft("predict --model convnet --weights w.safetensors --size 16 a.bmp")
        .code(2)
        .stderr_has("do not fit convnet")
        .stderr_has("hint: ");
    desk.graft("predict --model resnet18 --weights w.safetensors a.bmp")
        .code(2)
        .stderr_has("has no classifier of resnet18")
        .stderr_has("hint: check that the file was made for resnet18");
    desk.graft("predict --model convnet a.bmp")
        .code(2)
        .stderr_has("no published weights of convnet\nhint: ");
    desk.graft("predict --model squeezenet1_1 a.bmp")
        .code(2)
        .stderr_has("squeezenet1_1-b8a52dc0.pth")
        .stderr_has("hint: ");
    desk.graft("predict --model resnet18 --weights gone.safetensors a.bmp")
        .code(2)
        .stderr_has("`gone.safetensors` does not say where weights are")
        .stderr_has("hint: there is no file of that name, either");
    desk.graft("predict --model resnet18 --weights trial:tiny/narrow a.bmp")
        .code(2)
        .stderr_has("hint: name its folder: --trial");
    desk.graft("predict --model resnet81 a.bmp")
        .code(2)
        .stderr_has("did you mean `resnet18`?");
    desk.predict(&trial, "--device cuda a.bmp")
        .code(2)
        .stderr_has("hint: ");
}

#[test]
fn the_grid_is_a_png_file() {
    let (desk, trial) = trained();
    for number in 0..5 {
        desk.write(&format!("p/{number}.bmp"), bmp(50 * number, 0, 200));
    }
    desk.predict(&trial, "--grid seen.png --format csv p")
        .code(0);
    let seen = image::open(desk.path("seen.png")).unwrap().into_rgb8();
    for number in 0..5_u8 {
        let color = image::Rgb([50 * number, 0, 200]);
        assert!(
            seen.pixels().filter(|pixel| **pixel == color).count() > 10_000,
            "{number}"
        );
    }
    desk.predict(&trial, "--grid seen.jpg p")
        .code(2)
        .stderr_has("ends in .png");
    desk.predict(&trial, "--grid none/seen.png p")
        .code(2)
        .stderr_has("there is no folder none\nhint: ");
}

#[cfg(unix)]
#[test]
fn names_need_not_be_utf8() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let (desk, trial) = trained();
    let folder = desk.path("odd");
    fs::create_dir(&folder).unwrap();
    let name = OsStr::from_bytes(b"w\xff.bmp");
    if fs::write(folder.join(name), bmp(1, 2, 3)).is_err() {
        eprintln!("skipped: this disk takes UTF-8 names only");
        return;
    }
    fs::write(folder.join(OsStr::from_bytes(b"x\xfe\n.bmp")), "broken").unwrap();
    for format in ["text", "csv", "json"] {
        let mut command = desk.command(&format!("predict --format {format} --top 1 --trial"));
        let arguments = [
            trial.as_os_str(),
            OsStr::new("--grid"),
            OsStr::new("g.png"),
            OsStr::new("odd/w?.b*"),
            OsStr::new("odd"),
        ];
        let done: Finished = command.args(arguments).output().unwrap().into();
        let done = done.code(1);
        assert_eq!(
            done.stdout.matches("w\u{fffd}.bmp").count(),
            2,
            "{}",
            done.stdout
        );
        done.stderr_has("error: odd/x\u{fffd}\\n.bmp: its content");
    }
    let mut command = desk.command("predict --model resnet18 --weights");
    let done: Finished = command.arg(name).arg("odd").output().unwrap().into();
    done.code(2).stderr_has("hint: check the path");
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let (desk, trial) = trained();
    for number in 0..40 {
        desk.write(&format!("p/{number:02}.bmp"), bmp(number, 0, 0));
    }
    let mut command: Command = desk.command("predict --trial");
    command
        .arg(&trial)
        .arg("p")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!(
        (done.status.code(), String::from_utf8(done.stderr).unwrap()),
        (Some(0), String::new())
    );
}

#[test]
fn help_shows_how() {
    let help = Desk::new().graft("predict --help").code(0);
    for part in [
        "--trial",
        "--model",
        "--weights",
        "--top",
        "--format",
        "--grid",
        "--classes",
        "--threads",
        "--offline",
        "Examples:",
    ] {
        assert!(
            help.stdout.contains(part),
            "{part} is missing:\n{}",
            help.stdout
        );
    }
    assert!(help.stdout.lines().all(|line| line.chars().count() <= 110));
}
