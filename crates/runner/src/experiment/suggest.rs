//! "Did you mean": the known word nearest to a misspelt one.

/// The word of `known` nearest to `word`, if one is near enough to be a misspelling of it: about one letter in
/// three may be wrong, missing, superfluous or swapped with its neighbour.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let wanted = plain(word);
    let limit = (wanted.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|other| (strsim::osa_distance(&wanted, &plain(other)), other))
        .filter(|(distance, other)| *distance <= limit && *distance < other.chars().count())
        .min()
        .map(|(_, other)| other)
}

/// "`a`, `b` or `c`".
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, first)) => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_is_recognised() {
        let keys = ["epochs", "batch_size", "optimizer"];
        for (word, meant) in [
            ("epoch", "epochs"),
            ("batchsize", "batch_size"),
            ("batch-size", "batch_size"),
            ("Optimizer", "optimizer"),
            ("optimiser", "optimizer"),
            ("epcohs", "epochs"),
        ] {
            assert_eq!(nearest(word, keys), Some(meant), "{word}");
        }
        for word in ["lr", "x", "", "momentum"] {
            assert_eq!(nearest(word, keys), None, "{word}");
        }
        assert_eq!(nearest("b", ["a"]), None);
    }

    #[test]
    fn words_are_listed() {
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
