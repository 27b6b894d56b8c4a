//! Patterns for paths that no shell has expanded: `*`, `?`, `[a-z]`, and `**` for folders at any depth.
//!
//! As in a shell, what begins with a dot has to be named with its dot. Names need not be UTF-8: what is not counts as one
//! unknown letter.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Whether a path has letters that mean something in a pattern.
pub(super) fn is_pattern(path: &Path) -> bool {
    path.components().any(|part| is_wild(&part))
}

fn is_wild(part: &Component<'_>) -> bool {
    matches!(part, Component::Normal(name) if name.as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte)))
}

/// What `pattern` names, sorted by path. Folders that can't be read have nothing in them.
pub(super) fn expand(pattern: &Path) -> Vec<PathBuf> {
    let parts: Vec<Component<'_>> = pattern.components().collect();
    let mut found = Vec::new();
    descend(PathBuf::new(), &parts, &mut found);
    found.sort();
    found.dedup();
    found
}

/// Collects what the rest of a pattern names below `base`.
fn descend(base: PathBuf, parts: &[Component<'_>], found: &mut Vec<PathBuf>) {
    let Some((part, rest)) = parts.split_first() else {
        found.push(base);
        return;
    };
    if !is_wild(part) {
        let path = base.join(part);
        if fs::symlink_metadata(&path).is_ok() {
            descend(path, rest, found);
        }
        return;
    }
    let wanted = letters(part.as_os_str().as_encoded_bytes());
    let any_depth = wanted == ['*', '*'];
    if any_depth && !rest.is_empty() {
        descend(base.clone(), rest, found);
    }
    let folder = if base.as_os_str().is_empty() {
        Path::new(".")
    } else {
        &base
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !matches(&wanted, &letters(name.as_encoded_bytes())) {
            continue;
        }
        let path = base.join(&name);
        if any_depth {
            // Links to folders are not followed: they may lead back.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                descend(path, parts, found);
            } else if rest.is_empty() {
                found.push(path);
            }
        } else if rest.is_empty() || path.is_dir() {
            descend(path, rest, found);
        }
    }
}

fn letters(name: &[u8]) -> Vec<char> {
    String::from_utf8_lossy(name).chars().collect()
}

/// Whether a name matches one part of a pattern.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let hidden = name.first() == Some(&'.') && pattern.first() != Some(&'.');
    !hidden && follows(pattern, name)
}

/// Goes through both; where a star has taken too little, it takes one letter more.
fn follows(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut letter) = (0, 0);
    let mut star = None;
    while letter < name.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at, letter));
            at += 1;
        } else if let Some(length) = takes(&pattern[at..], name[letter]) {
            at += length;
            letter += 1;
        } else if let Some((place, taken)) = star {
            star = Some((place, taken + 1));
            (at, letter) = (place + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&c| c == '*')
}

/// How many letters of the pattern take this letter of a name; `None` if they do not.
fn takes(pattern: &[char], letter: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => {
            // A bracket right after the first is one of the letters; a list without an end is no list.
            let negated = matches!(pattern.get(1), Some('!' | '^'));
            let start = 1 + usize::from(negated);
            let end = start + 1 + pattern.get(start + 1..)?.iter().position(|&c| c == ']')?;
            (in_list(&pattern[start..end], letter) != negated).then_some(end + 1)
        }
        &other => (other == letter).then_some(1),
    }
}

/// Whether a letter is one of `abc` or in a range `a-c`.
fn in_list(list: &[char], letter: char) -> bool {
    let mut at = 0;
    while at < list.len() {
        if list.get(at + 1) == Some(&'-') && at + 2 < list.len() {
            if (list[at]..=list[at + 2]).contains(&letter) {
                return true;
            }
            at += 3;
        } else {
            if list[at] == letter {
                return true;
            }
            at += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_a_shell() {
        let check = |pattern: &str, name: &str| {
            matches(&letters(pattern.as_bytes()), &letters(name.as_bytes()))
        };
        for (pattern, name) in [
            ("*", "a"),
            ("*.jpg", "a.b.jpg"),
            ("a*b*c", "aXbYbZc"),
            ("?.png", "ö.png"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]x]", "]"),
            ("[a-]", "-"),
            (".*", ".hidden"),
            ("**", "any"),
        ] {
            assert!(check(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.jpg", "a.JPG"),
            ("*.jpg", ".jpg"),
            ("?", ""),
            ("?", "ab"),
            ("a*b", "abc"),
            ("[a-c]", "d"),
            ("[!a-c]", "b"),
            ("[ab", "a"),
            ("*", ".hidden"),
        ] {
            assert!(!check(pattern, name), "{pattern} {name}");
        }
        // Many stars take no longer than a moment.
        assert!(!check(&format!("{}b", "a*".repeat(30)), &"a".repeat(2000)));
    }

    #[test]
    fn patterns_find_what_they_name_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for file in [
            "b/2.jpg",
            "b/1.jpg",
            "a/deep/3.jpg",
            "a/x.txt",
            ".c/4.jpg",
            "5.jpg",
        ] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            expand(&root.join(pattern))
                .iter()
                .map(|path| {
                    path.strip_prefix(root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned()
                })
                .collect()
        };
        assert_eq!(found("b/*.jpg"), ["b/1.jpg", "b/2.jpg"]);
        assert_eq!(found("*/*.jpg"), ["b/1.jpg", "b/2.jpg"]);
        assert_eq!(found("[ab]"), ["a", "b"]);
        assert_eq!(found("?/deep/*"), ["a/deep/3.jpg"]);
        assert_eq!(
            found("**/*.jpg"),
            ["5.jpg", "a/deep/3.jpg", "b/1.jpg", "b/2.jpg"]
        );
        assert_eq!(found("a/**"), ["a/deep/3.jpg", "a/x.txt"]);
        assert_eq!(found(".c/*"), [".c/4.jpg"]);
        assert!(found("*/none").is_empty() && found("none/*").is_empty());
        assert!(is_pattern(Path::new("a/*/b")) && !is_pattern(Path::new("a/b.jpg")));
    }
}
