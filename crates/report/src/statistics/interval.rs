//! The mean of a few values and how sure it is.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// The confidence of every interval in the report.
const CONFIDENCE: f64 = 0.95;

/// A mean with its spread and its 95 % interval (Student 1908), which assumes values that are roughly normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Number of values.
    pub n: usize,
    /// Their mean; NaN without values.
    pub mean: f64,
    /// Their sample standard deviation (divided by n - 1); NaN below two values.
    pub std: f64,
    /// Lower end of the interval of the mean; NaN below two values.
    pub low: f64,
    /// Upper end likewise.
    pub high: f64,
}

impl Estimate {
    /// Half of the interval's width; NaN below two values.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// The mean of `values` with its interval. Values that are NaN are left out.
pub fn estimate(values: &[f64]) -> Estimate {
    let values: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    let n = values.len();
    if n == 0 {
        return Estimate {
            n,
            mean: f64::NAN,
            std: f64::NAN,
            low: f64::NAN,
            high: f64::NAN,
        };
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    if n == 1 {
        return Estimate {
            n,
            mean,
            std: f64::NAN,
            low: f64::NAN,
            high: f64::NAN,
        };
    }
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let std = (squares / (n - 1) as f64).sqrt();
    let half = t_quantile(n - 1) * std / (n as f64).sqrt();
    Estimate {
        n,
        mean,
        std,
        low: mean - half,
        high: mean + half,
    }
}

/// How many standard errors the interval reaches to each side with this many degrees of freedom, at least 1.
fn t_quantile(freedom: usize) -> f64 {
    StudentsT::new(0.0, 1.0, freedom as f64).map_or(f64::NAN, |distribution| {
        distribution.inverse_cdf(f64::midpoint(1.0, CONFIDENCE))
    })
}
