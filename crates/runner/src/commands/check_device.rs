//! `graft check-device`: every operation on a GPU against the same on the CPU.

use graft_trainer::device::{self, Device};
use serde::Serialize;

use super::Answer;
use crate::{cli::CheckDeviceArgs, failure::Failure};

/// One operation at one size.
#[derive(Clone, Debug, Serialize)]
struct Case {
    operation: String,
    /// What it computes with.
    precision: &'static str,
    /// Whether it was held to algorithms that always give the same bits.
    deterministic: bool,
    /// The largest error of the result, relative to its size; not a number where there is no result.
    forward: f64,
    /// That of the gradients, if there are any.
    backward: Option<f64>,
    /// Whether a second run gave the same bits.
    repeatable: bool,
    /// What the errors may be.
    tolerance: f64,
    /// Why there is no result.
    error: Option<String>,
    passed: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Checked {
    device: String,
    cases: Vec<Case>,
}

/// Compares the operations of a device with those of the CPU. Fails if one differs by more than rounding explains.
pub fn check_device(args: &CheckDeviceArgs) -> Result<Answer, Failure> {
    let device = device::open(&args.device).map_err(Failure::bad_input)?;
    if device.is_cpu() {
        let text = format!(
            "device `{}`: that is the CPU, with which others are compared",
            args.device
        );
        return Err(Failure::bad_input(text).hint("`--device cuda`"));
    }
    let checked = Checked {
        device: device::describe(&device)
            .map_err(Failure::bad_input)?
            .to_string(),
        cases: cases(&device),
    };
    let bad = checked.cases.iter().filter(|case| !case.passed).count();
    let text = if args.json {
        let line = serde_json::to_string(&checked).map_err(Failure::some_failed)?;
        format!("{line}\n")
    } else {
        table(&checked, args.all)
    };
    let failure = (bad > 0).then(|| {
        let count = checked.cases.len();
        Failure::some_failed(format!("{bad} of {count} operations differ from the CPU's"))
    });
    Ok(Answer { text, failure })
}

#[cfg(feature = "cuda")]
fn cases(device: &Device) -> Vec<Case> {
    let found = graft_ops::cuda::parity(device);
    let case = |found: graft_ops::cuda::Comparison| Case {
        passed: found.is_fine(),
        tolerance: found.tolerance(),
        operation: found.name,
        precision: found.numbers,
        deterministic: found.deterministic,
        error: found.failure,
        forward: found.forward,
        backward: found.backward,
        repeatable: found.repeatable,
    };
    found.into_iter().map(case).collect()
}

#[cfg(not(feature = "cuda"))]
fn cases(_: &Device) -> Vec<Case> {
    unreachable!("without CUDA there is no device but the CPU")
}

/// The cases that did not pass, or all of them, and how far the others are from the CPU.
fn table(checked: &Checked, all: bool) -> String {
    let mut lines = vec![checked.device.clone(), String::new()];
    let shown = checked.cases.iter().filter(|case| all || !case.passed);
    let rows: Vec<&Case> = shown.collect();
    if !rows.is_empty() {
        let heads = ["numbers", "forward", "backward"];
        lines.push(format!(
            "{:48}{:>8}{:>11}{:>11}",
            "operation", heads[0], heads[1], heads[2]
        ));
    }
    for case in rows {
        let backward = match case.backward {
            Some(error) => format!("{error:.1e}"),
            None => "-".to_owned(),
        };
        let verdict = match (case.passed, &case.error, case.repeatable) {
            (true, ..) if case.deterministic => String::new(),
            (true, ..) => "  fastest algorithm".to_owned(),
            (false, Some(error), _) => format!("  failed: {error}"),
            (false, None, false) if case.deterministic => "  differs from run to run".to_owned(),
            (false, None, _) => "  differs".to_owned(),
        };
        lines.push(format!(
            "{:48}{:>8}{:>11}{backward:>11}{verdict}",
            case.operation,
            case.precision,
            format!("{:.1e}", case.forward),
        ));
    }
    for precision in ["f32", "tf32", "bf16"] {
        let cases = checked.cases.iter();
        let cases: Vec<&Case> = cases.filter(|case| case.precision == precision).collect();
        let passed = cases.iter().filter(|case| case.passed).count();
        let errors = cases
            .iter()
            .flat_map(|case| [Some(case.forward), case.backward]);
        let worst = errors.flatten().fold(0.0, f64::max);
        if !cases.is_empty() {
            let count = cases.len();
            lines.push(format!(
                "{precision}: {passed} of {count} operations as on the CPU, largest relative error {worst:.1e}"
            ));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_and_the_rest_is_counted() {
        let case = |operation: &str, precision, forward, repeatable| Case {
            operation: operation.to_owned(),
            precision,
            forward,
            backward: None,
            repeatable,
            tolerance: 1e-4,
            deterministic: true,
            error: None,
            passed: forward <= 1e-4 && repeatable,
        };
        let failed = Case {
            error: Some("no such algorithm".to_owned()),
            ..case("pool", "f32", f64::NAN, true)
        };
        let checked = Checked {
            device: "cuda:0".to_owned(),
            cases: vec![
                case("add", "f32", 1e-7, true),
                case("cat", "f32", 0.5, true),
                case("linear", "bf16", 1e-5, false),
                failed,
            ],
        };
        let text = table(&checked, false);
        assert!(!text.contains("add "), "{text}");
        assert!(text.contains("differs\n") && text.contains("differs from run to run\n"));
        assert!(
            text.contains("f32: 1 of 3 operations as on the CPU, largest relative error 5.0e-1")
        );
        assert!(
            text.ends_with(
                "bf16: 0 of 1 operations as on the CPU, largest relative error 1.0e-5\n"
            )
        );
        assert!(text.contains("failed: no such algorithm\n"), "{text}");
        assert!(table(&checked, true).contains("add "));
    }
}
