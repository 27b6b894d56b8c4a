//! The names of classes.

use std::path::Path;

use crate::failure::Failure;

/// The 1000 classes of ImageNet-1k as torchvision names them, in the order of its outputs, one on each line.
const IMAGENET: &str = include_str!("imagenet.txt");
/// How many classes ImageNet-1k has.
const IMAGENET_CLASSES: usize = 1000;

/// The names of `count` classes: those in a file, those of ImageNet-1k if there are as many, or their numbers.
pub(super) fn of_classes(count: usize, file: Option<&Path>) -> Result<Vec<String>, Failure> {
    if let Some(file) = file {
        return in_file(file, count);
    }
    if count == IMAGENET_CLASSES {
        return Ok(IMAGENET.lines().map(str::to_owned).collect());
    }
    Ok((0..count).map(|class| format!("class {class}")).collect())
}

/// The lines of a file, which have to be as many as there are classes.
fn in_file(file: &Path, count: usize) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::bad_input(format!(
            "failed to read the names of the classes in {}: {error}",
            file.display()
        ))
        .hint("--classes names a text file with one name on each line")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim_end();
    let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    if names.len() == count {
        return Ok(names);
    }
    Err(Failure::bad_input(format!(
        "{} has {} names, but the network tells {count} classes apart",
        file.display(),
        names.len()
    ))
    .hint("one name on each line, in the order of the network's outputs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_1000_classes_knows_those_of_imagenet() {
        let names = of_classes(1000, None).unwrap();
        assert_eq!(names.len(), 1000);
        for (class, name) in [
            (0, "tench"),
            (309, "bee"),
            (310, "ant"),
            (999, "toilet tissue"),
        ] {
            assert_eq!(names[class], name);
        }
        assert!(
            names
                .iter()
                .all(|name| !name.is_empty() && name.trim() == name)
        );
        assert_eq!(
            of_classes(3, None).unwrap(),
            ["class 0", "class 1", "class 2"]
        );
    }

    #[test]
    fn names_in_a_file_have_to_be_as_many_as_the_classes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("names.txt");
        std::fs::write(&file, "\u{feff}cat\r\n big dog \r\n\n").unwrap();
        assert_eq!(of_classes(2, Some(&file)).unwrap(), ["cat", "big dog"]);
        let failure = of_classes(3, Some(&file)).unwrap_err().text;
        assert!(
            failure.contains("has 2 names, but the network tells 3 classes apart\nhint: "),
            "{failure}"
        );
        let failure = of_classes(3, Some(&folder.path().join("gone")))
            .unwrap_err()
            .text;
        assert!(
            failure.contains("gone") && failure.contains("hint: "),
            "{failure}"
        );
    }
}
