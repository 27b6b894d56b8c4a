//! Checks of arguments that several operations share. Every message names the operation and what it was given.

use candle_core::{Error, Result, Tensor};

/// An error message of the operation `op`.
pub(crate) fn invalid(op: &str, message: std::fmt::Arguments) -> Error {
    Error::Msg(format!("{op}: {message}"))
}

/// The sizes of a tensor that must have `N` dimensions, which `layout` names.
pub(crate) fn dims<const N: usize>(
    op: &str,
    what: &str,
    layout: &str,
    t: &Tensor,
) -> Result<[usize; N]> {
    t.dims().try_into().map_err(|_| {
        invalid(
            op,
            format_args!("{what} must have shape {layout}, found {:?}", t.dims()),
        )
    })
}

/// Fails unless `t` has exactly the shape `expected`.
pub(crate) fn shape(op: &str, what: &str, expected: &[usize], t: &Tensor) -> Result<()> {
    if t.dims() == expected {
        Ok(())
    } else {
        Err(invalid(
            op,
            format_args!("{what} must have shape {expected:?}, found {:?}", t.dims()),
        ))
    }
}
