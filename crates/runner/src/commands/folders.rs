//! Where data, weights and results are looked for.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use graft_data::DataFolders;
use graft_model::WeightsFolders;

/// Whether the network may be used: `--offline` and `HF_HUB_OFFLINE` forbid it.
pub(super) fn is_offline(flag: bool) -> bool {
    WeightsFolders::from_env(&[], flag).offline
}

/// The folders of the arguments, then those of the environment variable's value, then `last`.
fn search(arguments: &[PathBuf], variable: Option<OsString>, last: Option<&str>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = arguments.to_vec();
    let paths = variable.unwrap_or_default();
    folders.extend(env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()));
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
    let search = search(arguments, env::var_os("GRAFT_DATA_DIR"), Some("data"));
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
            Some(env::join_paths(["b", "a", "", "c"]).unwrap()),
            Some("data"),
        );
        assert_eq!(found, ["a", "data", "b", "c"].map(PathBuf::from));
        assert!(search(&[], None, None).is_empty());
        assert!(search(&[], Some(OsString::new()), None).is_empty());
    }

    #[test]
    fn paths_below_the_current_folder_are_short() {
        let current = env::current_dir().unwrap();
        assert_eq!(display(&current.join("results").join("x")), "results/x");
        assert_eq!(display(Path::new("results/x")), "results/x");
        assert_eq!(display(Path::new("/elsewhere")), "/elsewhere");
    }
}
