//! Colours.

use plotters::style::RGBColor;

/// Paper.
pub(crate) const BACKGROUND: RGBColor = RGBColor(255, 255, 255);
/// Titles and text.
pub(crate) const INK: RGBColor = RGBColor(34, 34, 34);
/// Text that explains.
pub(crate) const MUTED: RGBColor = RGBColor(98, 98, 98);
/// Axis lines.
pub(crate) const AXIS: RGBColor = RGBColor(140, 140, 140);
/// Grid lines.
pub(crate) const GRID: RGBColor = RGBColor(230, 230, 230);
/// Behind pictures that do not fill their place.
pub(crate) const PAPER: RGBColor = RGBColor(244, 244, 244);
/// The palette's blue.
pub(crate) const BLUE: RGBColor = RGBColor(0, 114, 178);
/// The frame of a right answer; the palette's bluish green.
pub(crate) const RIGHT: RGBColor = RGBColor(0, 158, 115);
/// The frame of a wrong answer; the palette's vermillion.
pub(crate) const WRONG: RGBColor = RGBColor(213, 94, 0);

/// The palette of Okabe and Ito (2008), which colour-blind people can tell apart, without its yellow, which can't
/// be seen on white.
const OKABE_ITO: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// The colour of the variant at this place of the plan, and how often the colours have been used up before it.
pub(crate) fn variant_color(place: usize) -> (RGBColor, usize) {
    (OKABE_ITO[place % OKABE_ITO.len()], place / OKABE_ITO.len())
}

/// `color` mixed with white: 1 is the colour itself, 0 is white.
pub(crate) fn tint(color: RGBColor, strength: f64) -> RGBColor {
    let mix = |channel: u8| (255.0 - (255.0 - f64::from(channel)) * strength).round() as u8;
    RGBColor(mix(color.0), mix(color.1), mix(color.2))
}

/// A shade of blue for a share from 0 (white) to 1 (dark).
pub(crate) fn shade(share: f64) -> RGBColor {
    // Two straight pieces, through the palette's blue, so that the dark end stays blue rather than black.
    let (blue, dark) = (RGBColor(0, 114, 178), RGBColor(0, 52, 102));
    let share = if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    };
    if share <= 0.7 {
        return tint(blue, share / 0.7);
    }
    let t = (share - 0.7) / 0.3;
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * t).round() as u8;
    RGBColor(
        mix(blue.0, dark.0),
        mix(blue.1, dark.1),
        mix(blue.2, dark.2),
    )
}
