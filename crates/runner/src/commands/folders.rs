//! Where data, weights and results are looked for.

use std::{
    env,
    path::{Path, PathBuf},
};

use graft_data::DataFolders;

/// Whether the network may be used: `--offline` and `HF_HUB_OFFLINE` forbid it.
pub(super) fn is_offline(flag: bool) -> bool {
    // As huggingface_hub reads it.
    let forbidden = |value: &str| {
        matches!(
            value.to_ascii_uppercase().as_str(),
            "1" | "ON" | "YES" | "TRUE"
        )
    };
    flag || env::var("HF_HUB_OFFLINE").is_ok_and(|value| forbidden(&value))
}

/// The folders of the arguments, then that of the environment variable, then `last`.
fn search(arguments: &[PathBuf], variable: &str, last: Option<&str>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = arguments.to_vec();
    folders.extend(
        env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from),
    );
    folders.extend(last.map(PathBuf::from));
    let mut unique: Vec<PathBuf> = Vec::new();
    for folder in folders {
        if !unique.contains(&folder) {
            unique.push(folder);
        }
    }
    unique
}

/// The folders for data: --data-dir, $`GRAFT_DATA_DIR`, ./data. The first one takes downloads.
pub(super) fn data(arguments: &[PathBuf], offline: bool) -> DataFolders {
    let search = search(arguments, "GRAFT_DATA_DIR", Some("data"));
    let download_into = search[0].clone();
    DataFolders {
        search,
        download_into,
        offline,
    }
}

/// `path` without the current folder in front, as a person would write it.
pub(super) fn display(path: &Path) -> String {
    let current = env::current_dir().unwrap_or_default();
    let short = path.strip_prefix(&current).unwrap_or(path);
    if short.as_os_str().is_empty() {
        ".".to_owned()
    } else {
        short.display().to_string()
    }
}

/// Where the results are, for stdout.
pub(super) fn list_results(root: &Path, files: &[PathBuf]) -> String {
    let mut text = format!("\nresults are in {}", display(root));
    let mut column = usize::MAX;
    for file in files {
        let name = file
            .strip_prefix(root)
            .unwrap_or(file)
            .display()
            .to_string();
        // Lines of at most 80 columns.
        if column.saturating_add(name.len() + 1) > 80 {
            text.push_str("\n ");
            column = 1;
        }
        text.push(' ');
        text.push_str(&name);
        column += name.len() + 1;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_before_the_default_and_each_folder_once() {
        let found = search(
            &["a".into(), "data".into(), "a".into()],
            "GRAFT_NO_SUCH_VARIABLE",
            Some("data"),
        );
        assert_eq!(found, [PathBuf::from("a"), PathBuf::from("data")]);
        assert!(search(&[], "GRAFT_NO_SUCH_VARIABLE", None).is_empty());
    }

    #[test]
    fn paths_below_the_current_folder_are_short() {
        let current = env::current_dir().unwrap();
        assert_eq!(display(&current.join("results").join("x")), "results/x");
        assert_eq!(display(Path::new("results/x")), "results/x");
        assert_eq!(display(Path::new("/elsewhere")), "/elsewhere");
    }
}
