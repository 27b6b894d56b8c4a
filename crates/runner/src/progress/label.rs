//! The name of a trial in a column of a given width.

use graft_record::TrialKey;

/// `scratch lr=0.001 r03`, without the cell if there is no grid, in at most `width` characters: the cell gives way
/// first, then the variant, and the repeat stays.
pub fn fit_label(key: &TrialKey, width: usize) -> String {
    let repeat = format!("r{:02}", key.repeat);
    let room = width.saturating_sub(repeat.chars().count() + 1);
    let variant = shorten(&key.variant, room);
    let room = room.saturating_sub(variant.chars().count() + 1);
    // A cell of a few letters says nothing.
    if key.cell == TrialKey::BASE_CELL || room < 4 {
        return format!("{variant} {repeat}");
    }
    format!("{variant} {} {repeat}", shorten(&key.cell, room))
}

/// The beginning of `text` in at most `width` characters, with an ellipsis if something is missing.
fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(variant: &str, cell: &str, width: usize) -> String {
        let key = TrialKey {
            variant: variant.to_owned(),
            cell: cell.to_owned(),
            repeat: 3,
            id: String::new(),
        };
        fit_label(&key, width)
    }

    #[test]
    fn the_cell_gives_way_before_the_variant() {
        assert_eq!(label("scratch", "base", 24), "scratch r03");
        assert_eq!(label("scratch", "lr=0.001", 24), "scratch lr=0.001 r03");
        assert_eq!(
            label("scratch", "lr=0.001,batch_size=8", 24),
            "scratch lr=0.001,ba… r03"
        );
        assert_eq!(
            label("a-variant-with-a-long-name", "lr=0.001", 24),
            "a-variant-with-a-lo… r03"
        );
        assert_eq!(
            label("größer", "base", 9),
            "größe… r03".replace("größe…", "größ…")
        );
    }
}
