//! The functions of NVIDIA's libraries, as symbols of the program itself.
//!
//! candle has its bindings, cudarc, link NVIDIA's libraries, and a program that is linked to a library which is not there
//! does not start. So each function that cudarc declares is defined here: a jump through an address that first leads to
//! [`graft_cuda_resolve`], and after the first call to the library's own function. The linker then finds every symbol in
//! the program and needs no library for any of them. What is never called is left out of the program.
//!
//! The names in `symbols` are written by `scripts/cuda_symbols.py` from cudarc's sources rather than from the toolkit's headers:
//! what cudarc declares is what can be called, whichever toolkit is installed, under the names that the linker sees
//! (headers rename with macros: `cuMemAlloc` is `cuMemAlloc_v2`). A name that is missing is an undefined symbol when the program is
//! linked, so an update of cudarc can't pass unnoticed.
//!
//! `libcudart` is no library that we look for. Only candle's kernels for quantised mixtures of experts, which nothing here runs,
//! call it, and they register themselves with it before `main`: registration does nothing here, and all else is an error. So
//! are the four functions of libstdc++ that they name, the program being without C++ otherwise; a machine need not have that either.

mod generator;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::{Library, libraries};

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    include_str!("x86_64.s"),
    include_str!("libraries.s"),
    include_str!("symbols/driver.s"),
    include_str!("symbols/cublaslt.s"),
    include_str!("symbols/cublas.s"),
    include_str!("symbols/curand.s"),
    include_str!("symbols/nvrtc.s"),
    include_str!("symbols/cudnn.s"),
    include_str!("symbols/runtime.s"),
    options(raw)
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    include_str!("aarch64.s"),
    include_str!("libraries.s"),
    include_str!("symbols/driver.s"),
    include_str!("symbols/cublaslt.s"),
    include_str!("symbols/cublas.s"),
    include_str!("symbols/curand.s"),
    include_str!("symbols/nvrtc.s"),
    include_str!("symbols/cudnn.s"),
    include_str!("symbols/runtime.s"),
    options(raw)
);

unsafe extern "C" {
    fn graft_cuda_first_call();
}

/// Brings the trampolines into every program that this crate is linked to, before the linker looks for their symbols in
/// libraries: `#[used]` makes rustc ask for them first of all.
#[used]
static KEEP: unsafe extern "C" fn() = graft_cuda_first_call;

/// What belongs to one function, laid out by the assembler.
#[repr(C)]
struct Entry {
    /// Where the trampoline jumps to.
    target: AtomicPtr<c_void>,
    /// The symbol's name, ending in a zero.
    name: *const c_char,
    /// A number of [`Library`].
    library: usize,
}

/// Finds the function of an entry and leaves its address there. Called by the first call of each function, on any number of
/// threads at once: all of them find the same. A function that can't be found is replaced by one that answers with an error.
///
/// # Safety
/// `entry` is an entry that the assembler laid out.
#[unsafe(no_mangle)]
unsafe extern "C" fn graft_cuda_resolve(entry: *const Entry) -> *const c_void {
    // SAFETY: the assembler's entries are statics of this layout, and only `target` changes.
    let entry = unsafe { &*entry };
    // SAFETY: `.asciz` of the assembler.
    let name = unsafe { CStr::from_ptr(entry.name) };
    let library = Library::ALL[entry.library];
    let found = libraries::get(library).and_then(|shared| shared.symbol(library, name));
    let target = found.unwrap_or_else(|error| {
        if library == Library::Curand && libraries::is_dispensable(library, &error) {
            return generator::function(&name.to_string_lossy());
        }
        // The caller may know no more than that a call failed.
        eprintln!("error: {error}");
        substitute(library, &name.to_string_lossy())
    });
    entry.target.store(target, Ordering::Relaxed);
    target
}

/// What stands in for a function that is not there: by its name, it gives out a status, a version or a text.
fn substitute(library: Library, name: &str) -> *mut c_void {
    extern "C" fn status<const CODE: c_int>() -> c_int {
        CODE
    }
    extern "C" fn nothing() -> usize {
        0
    }
    extern "C" fn text() -> *const c_char {
        c"a function that was not found".as_ptr()
    }
    let is_text = [
        "StatusName",
        "StatusString",
        "cudnnGetErrorString",
        "nvrtcGetErrorString",
    ];
    let is_version = [
        "LtGetVersion",
        "cudnnGetVersion",
        "CudartVersion",
        "MaxDeviceVersion",
    ];
    let is = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    let function = match library {
        _ if is(&is_text) => text as *const (),
        _ if is(&is_version) => nothing as *const (),
        // CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND
        Library::Driver => status::<302> as *const (),
        // CUBLAS_STATUS_NOT_SUPPORTED
        Library::Cublas | Library::CublasLt => status::<15> as *const (),
        // CURAND_STATUS_INTERNAL_ERROR
        Library::Curand => status::<999> as *const (),
        // NVRTC_ERROR_INTERNAL_ERROR
        Library::Nvrtc => status::<11> as *const (),
        // CUDNN_STATUS_NOT_SUPPORTED
        Library::Cudnn => status::<3000> as *const (),
    };
    function.cast_mut().cast()
}
