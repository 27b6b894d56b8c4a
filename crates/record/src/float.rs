//! How numbers are written into CSV files.

/// The shortest text that reads back as the same number; empty for NaN, exponents only far from 1.
pub fn format_float(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        String::new()
    } else if size == 0.0 || (1e-5..1e16).contains(&size) || size.is_infinite() {
        format!("{value}")
    } else {
        format!("{value:e}")
    }
}

/// Reads what [`format_float`] writes; an empty text is NaN.
pub fn parse_float(text: &str) -> Option<f64> {
    if text.is_empty() {
        Some(f64::NAN)
    } else {
        text.parse().ok()
    }
}
