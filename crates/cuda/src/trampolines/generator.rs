//! What stands in for cuRAND where it is not installed.
//!
//! candle opens a generator for every device, and nothing here draws numbers with it: so opening one works, as does all that is done
//! to it without drawing, and drawing is an error.

use std::ffi::{c_int, c_void};

/// `CURAND_STATUS_SUCCESS`.
const SUCCESS: c_int = 0;
/// `CURAND_STATUS_NOT_INITIALIZED`.
const NOT_INITIALIZED: c_int = 101;

/// What every generator is. Its address is all that anybody has of it.
static GENERATOR: u8 = 0;

/// What is called under a name of cuRAND's.
pub(super) fn function(name: &str) -> *mut c_void {
    let function = match name {
        "curandCreateGenerator" | "curandCreateGeneratorHost" => create as *const (),
        "curandDestroyGenerator"
        | "curandSetStream"
        | "curandSetPseudoRandomGeneratorSeed"
        | "curandSetGeneratorOffset"
        | "curandSetGeneratorOrdering"
        | "curandSetQuasiRandomGeneratorDimensions" => nothing as *const (),
        _ => refuse as *const (),
    };
    function.cast_mut().cast()
}

/// # Safety
/// `generator` is where a handle may be written, as in curand.h.
unsafe extern "C" fn create(generator: *mut *const u8, _kind: c_int) -> c_int {
    // SAFETY: the caller's.
    unsafe { generator.write(&raw const GENERATOR) };
    SUCCESS
}

extern "C" fn nothing() -> c_int {
    SUCCESS
}

extern "C" fn refuse() -> c_int {
    NOT_INITIALIZED
}
