//! The few questions that are put to the driver before candle opens a device.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::{mem, ptr};

use crate::shared::SharedLibrary;
use crate::{DeviceInfo, Library, LoadError};

/// A `CUdevice_attribute`: the two numbers of the compute capability.
const CAPABILITY: [c_int; 2] = [75, 76];

/// The driver, through functions that were looked up by their names.
pub(crate) struct Driver<'a> {
    library: &'a SharedLibrary,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(library: &'a SharedLibrary) -> Self {
        Self { library }
    }

    /// The function of a name.
    ///
    /// # Safety
    /// `F` is the type of a pointer to that function.
    unsafe fn function<F: Copy>(&self, name: &CStr) -> Result<F, LoadError> {
        let address = self.library.symbol(Library::Driver, name)?;
        const { assert!(mem::size_of::<F>() == mem::size_of::<*mut c_void>()) };
        // SAFETY: the caller's, and pointers to functions and to data are the same on every system with `dlsym`.
        Ok(unsafe { mem::transmute_copy(&address) })
    }

    /// Starts it. It may be called any number of times.
    pub(crate) fn initialize(&self) -> Result<(), LoadError> {
        // SAFETY: the type in cuda.h; the flags have to be 0.
        let code = unsafe { self.function::<extern "C" fn(c_uint) -> c_int>(c"cuInit")?(0) };
        self.check("cuInit", code)
    }

    /// The newest CUDA that it knows, such as 13000 for 13.0.
    pub(crate) fn version(&self) -> Result<u32, LoadError> {
        let mut version = 0;
        // SAFETY: the type in cuda.h.
        let code = unsafe {
            self.function::<unsafe extern "C" fn(*mut c_int) -> c_int>(c"cuDriverGetVersion")?(
                &raw mut version,
            )
        };
        self.check("cuDriverGetVersion", code)?;
        Ok(u32::try_from(version).unwrap_or(0))
    }

    /// How many GPUs it sees, of those that `CUDA_VISIBLE_DEVICES` lets it see.
    pub(crate) fn count(&self) -> Result<usize, LoadError> {
        let mut count = 0;
        // SAFETY: the type in cuda.h.
        let code = unsafe {
            self.function::<unsafe extern "C" fn(*mut c_int) -> c_int>(c"cuDeviceGetCount")?(
                &raw mut count,
            )
        };
        self.check("cuDeviceGetCount", code)?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// What GPU `ordinal` is.
    pub(crate) fn device(&self, ordinal: usize) -> Result<DeviceInfo, LoadError> {
        type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
        type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
        type Memory = unsafe extern "C" fn(*mut usize, c_int) -> c_int;
        type Attribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
        let mut device = 0;
        let mut name = [0; 256];
        let mut memory = 0;
        let mut capability = [0; 2];
        // SAFETY: the types in cuda.h, and memory of the sizes that are told. The name ends in a zero.
        unsafe {
            let code = self.function::<Get>(c"cuDeviceGet")?(&raw mut device, ordinal as c_int);
            self.check("cuDeviceGet", code)?;
            let room = name.len() as c_int - 1;
            let code = self.function::<Name>(c"cuDeviceGetName")?(name.as_mut_ptr(), room, device);
            self.check("cuDeviceGetName", code)?;
            let code = self.function::<Memory>(c"cuDeviceTotalMem_v2")?(&raw mut memory, device);
            self.check("cuDeviceTotalMem", code)?;
            let attribute = self.function::<Attribute>(c"cuDeviceGetAttribute")?;
            for (place, which) in capability.iter_mut().zip(CAPABILITY) {
                self.check("cuDeviceGetAttribute", attribute(place, which, device))?;
            }
            let name = CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned();
            Ok(DeviceInfo {
                name,
                memory: memory as u64,
                capability: capability
                    .map(|number| u32::try_from(number).unwrap_or(0))
                    .into(),
            })
        }
    }

    fn check(&self, call: &'static str, code: c_int) -> Result<(), LoadError> {
        if code == 0 {
            return Ok(());
        }
        let error = match self.error_name(code) {
            Some(name) => format!("{name} ({code})"),
            None => format!("error {code}"),
        };
        Err(LoadError::Driver { call, error })
    }

    fn error_name(&self, code: c_int) -> Option<String> {
        type Name = unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int;
        let mut text = ptr::null();
        // SAFETY: the type in cuda.h; the text is a constant of the driver's.
        unsafe {
            let asked = self.function::<Name>(c"cuGetErrorName").ok()?(code, &raw mut text);
            (asked == 0 && !text.is_null())
                .then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    }
}
