//! A library that was loaded, through the system's `dlopen`.

use std::ffi::{CStr, CString, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;

use crate::{Library, LoadError};

/// A library that was loaded, and stays so until the program ends.
#[derive(Clone, Debug)]
pub(crate) struct SharedLibrary {
    /// As it was asked for: a path, or a name that the system looked for.
    name: String,
    /// The system's handle, never null. An address, so that threads can share it.
    handle: usize,
}

impl SharedLibrary {
    /// Loads a path (with a slash in it), or a name that the system looks for in its own places.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(name: &OsStr) -> Result<Self, String> {
        let text = name.to_string_lossy().into_owned();
        let path =
            CString::new(name.as_bytes()).map_err(|_| format!("{text}: a zero in the name"))?;
        // SAFETY: a string that ends in a zero. Loading runs the library's own code, which is what was asked for.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(last_error().unwrap_or_else(|| format!("{text}: can't be loaded")));
        }
        Ok(Self {
            name: text,
            handle: handle as usize,
        })
    }

    /// The address of a function. It is a function's for as long as the program runs.
    ///
    /// # Errors
    /// When the library has no such function. `library` is the one that this is, for the message.
    pub(crate) fn symbol(&self, library: Library, name: &CStr) -> Result<*mut c_void, LoadError> {
        // SAFETY: a handle of `dlopen` that is never closed, and a string.
        let address = unsafe { libc::dlsym(self.handle as *mut c_void, name.as_ptr()) };
        if address.is_null() {
            return Err(LoadError::NoSymbol {
                library: self.name.clone(),
                symbol: name.to_string_lossy().into_owned(),
                advice: library.advice(),
            });
        }
        Ok(address)
    }
}

/// What the system said about the last failure on this thread.
fn last_error() -> Option<String> {
    // SAFETY: the text is valid until the next call of the family on this thread, and is copied here.
    unsafe {
        let text = libc::dlerror();
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}
