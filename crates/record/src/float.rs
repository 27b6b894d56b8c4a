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

/// Numbers in JSON, where what is not finite is `null` and reads back as NaN.
pub mod nullable {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes a number; `null` for one that is not finite.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(value).serialize(serializer)
    }

    /// Reads a number; NaN for `null`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}
