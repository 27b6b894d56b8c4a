//! `graft split`: from a folder of pictures to splits.

mod desk;

use std::{collections::BTreeSet, fs, path::Path};

use desk::{Desk, bmp};

/// Thirty cats and twenty dogs in class folders, and two other files.
fn folders() -> Desk {
    let desk = Desk::new();
    for number in 0..50 {
        let class = if number < 30 { "cat" } else { "dog" };
        desk.write(&format!("pets/{class}/sub/{number}.bmp"), bmp(number, 1, 2));
    }
    desk.write("pets/cat/notes.txt", "");
    desk.write("pets/readme", "");
    desk
}

/// The files below a folder.
fn below(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                names.insert(
                    path.strip_prefix(folder)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }
    names
}

#[test]
fn class_folders_are_divided() {
    let desk = folders();
    desk.graft("split pets data/out --train 25 --val 0.2 --test 5")
        .code(0)
        .stdout_has("class  train  val  test  left out\ncat       15    6     3         6\n")
        .stdout_has("dog       10    4     2         4\ntotal     25   10     5        10\n")
        .stderr_has("note: left out what is no picture: cat/notes.txt, readme");
    let made = below(&desk.path("data/out"));
    let count = |start: &str| made.iter().filter(|name| name.starts_with(start)).count();
    assert_eq!(made.len(), 40);
    assert_eq!(
        (
            count("train/cat/sub/"),
            count("val/dog/sub/"),
            count("test/cat/")
        ),
        (15, 4, 3)
    );
    let pictures: BTreeSet<&str> = made.iter().map(|n| n.rsplit('/').next().unwrap()).collect();
    assert_eq!(pictures.len(), 40, "no picture is in two splits");
    let one = made
        .iter()
        .find(|name| name.starts_with("train/cat"))
        .unwrap();
    let original = one.strip_prefix("train/").unwrap();
    assert_eq!(
        fs::read(desk.path("data/out").join(one)).unwrap(),
        fs::read(desk.path("pets").join(original)).unwrap()
    );
    // The same again, and another draw.
    desk.graft("split pets again --train 25 --val 0.2 --test 5")
        .code(0);
    assert_eq!(below(&desk.path("again")), made);
    desk.graft("split pets other --train 25 --val 0.2 --test 5 --seed 1")
        .code(0);
    assert_ne!(below(&desk.path("other")), made);
    // Nothing is overwritten, and nothing is left beside.
    desk.graft("split pets data/out --train 25 --val 5")
        .code(2)
        .stderr_has("data/out is not empty\nhint: nothing is overwritten");
    assert_eq!(below(&desk.path("data/out")), made);
    assert_eq!(fs::read_dir(desk.path("data")).unwrap().count(), 1);
}

#[test]
fn what_is_made_is_an_image_folder() {
    let desk = folders();
    fs::create_dir(desk.path("out")).unwrap();
    fs::create_dir(desk.path(".out.splitting-4294967295")).unwrap();
    desk.graft("split pets out --train 30 --val 20").code(0);
    assert!(!desk.path(".out.splitting-4294967295").exists());
    desk.write(
        "pets.toml",
        desk::TINY.replace(
            "source = \"generated\"\ntask = \"target\"\nside = 16\ntrain = 32\nval = 16",
            "source = \"image-folder\"\npath = \"out\"",
        ),
    );
    desk.graft("sweep pets.toml --dry-run --data-dir .")
        .code(0)
        .stdout_has("pictures");
}

#[cfg(unix)]
#[test]
fn links_take_no_space() {
    use std::os::unix::fs::MetadataExt;

    let desk = Desk::new();
    for number in 0..10 {
        let class = if number % 2 == 0 { "cat" } else { "dog" };
        desk.write(&format!("flat/{class}.{number}.bmp"), bmp(number, 0, 0));
    }
    desk.graft("split flat out --train 6 --val 4 --link")
        .code(0);
    let made = below(&desk.path("out"));
    assert_eq!(made.len(), 10);
    for name in &made {
        assert_eq!(
            fs::metadata(desk.path("out").join(name)).unwrap().nlink(),
            2
        );
    }
    assert!(made.iter().any(|name| name.starts_with("train/dog/dog.")));
    desk.graft("split flat none --train 6 --val 4 --link --copy")
        .code(2)
        .stderr_has("cannot be used with");
}

#[test]
fn what_cannot_be_divided_says_why() {
    let desk = folders();
    for (arguments, expected) in [
        (
            "pets out --train 40 --val 20",
            "error: 40 train + 20 val are more pictures than there are: 50 (30 cat, 20 dog)",
        ),
        (
            "pets out --train 0.8 --val 0.3",
            "0.8 train + 0.3 val are more pictures",
        ),
        (
            "pets out --train 40 --val 1",
            "the class dog would have no pictures in the val split",
        ),
        (
            "pets pets/out --train 1 --val 1",
            "pets/out is inside of pets",
        ),
        ("pets pets --train 1 --val 1", "pets is not empty"),
        (
            "pets pets/readme --train 1 --val 1",
            "pets/readme is no folder",
        ),
        ("nowhere out --train 1 --val 1", "failed to read nowhere"),
        (
            "pets/readme out --train 1 --val 1",
            "pets/readme is no folder",
        ),
        ("pets/cat out --train 5 --val 5", "are of one class, `sub`"),
        (
            "pets out --train 0 --val 1",
            "expected a number of pictures, or a share",
        ),
        (
            "pets out --train 1.5 --val 1",
            "expected a number of pictures, or a share",
        ),
        ("pets out --train 1", "--val"),
    ] {
        desk.graft(&format!("split {arguments}"))
            .code(2)
            .stderr_has(expected);
    }
    desk.write("none/readme", "");
    desk.graft("split none out --train 1 --val 1")
        .code(2)
        .stderr_has("there are no pictures in");
    desk.write("flat/cat.bmp", bmp(1, 2, 3));
    desk.graft("split flat out --train 1 --val 1")
        .code(2)
        .stderr_has("cat.bmp does not say its class");
    desk.write("pets/cat.1.bmp", bmp(1, 2, 3));
    desk.graft("split pets out --train 1 --val 1")
        .code(2)
        .stderr_has("has pictures in folders, such as cat/sub/0.bmp, and pictures beside them, such as cat.1.bmp");
    assert!(!desk.path("out").exists());
}

#[test]
fn a_folder_that_is_split_already_is_refused_and_hidden_folders_are_left_alone() {
    let desk = folders();
    desk.write("pets/.git/cow.1.bmp", bmp(0, 0, 0));
    desk.write("pets/cat/.thumbnails/1.bmp", bmp(0, 0, 0));
    desk.write("pets/.git/HEAD", "");
    let found = desk.graft("split pets out --train 25 --val 0.2").code(0);
    found
        .stdout_has("total     25   10        15\n")
        .stderr_lacks(".git");
    desk.graft("split out again --train 10 --val 10")
        .code(2)
        .stderr_has("out has the folders train and val: it is split already, and they are no classes\nhint: divide one of them")
        .stderr_has("out/train, or use the folder as it is");
    assert!(!desk.path("again").exists());
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_before_anything_is_written() {
    let desk = folders();
    let pipe = desk.path("pets/cat/pipe.bmp");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let link = desk.path("pets/dog/gone.bmp");
    for mode in ["", " --link"] {
        desk.graft(&format!("split pets out --train 25 --val 5{mode}"))
            .code(2)
            .stderr_has("pets/cat/pipe.bmp is no regular file\nhint: ");
    }
    fs::remove_file(&pipe).unwrap();
    std::os::unix::fs::symlink("nowhere/dog.bmp", &link).unwrap();
    for mode in ["", " --link"] {
        desk.graft(&format!("split pets out --train 25 --val 5{mode}"))
            .code(2)
            .stderr_has("pets/dog/gone.bmp is a broken link: there is no nowhere/dog.bmp\nhint: ");
    }
    let names: Vec<_> = fs::read_dir(desk.path("")).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}
