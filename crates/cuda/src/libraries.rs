//! The libraries of this process, each loaded once.

use std::ffi::OsString;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::driver::Driver;
use crate::search::Search;
use crate::shared::SharedLibrary;
use crate::version::Version;
use crate::{DeviceInfo, Library, LoadError};

/// The toolkit that this program was built with, such as 13000 for 13.0, or 0 where its compiler did not say.
const TOOLKIT: &str = env!("GRAFT_CUDA_TOOLKIT");

static SEARCH: Mutex<Option<Search>> = Mutex::new(None);
static LIBRARIES: [OnceLock<Result<SharedLibrary, LoadError>>; Library::ALL.len()] =
    [const { OnceLock::new() }; Library::ALL.len()];

/// A library, which is looked for at the first call.
pub(crate) fn get(library: Library) -> Result<&'static SharedLibrary, LoadError> {
    let shared = LIBRARIES[library as usize].get_or_init(|| {
        let newest = match library {
            Library::Driver => None,
            // Without a driver any will do: what is called will say that there is none.
            _ => driver().and_then(|driver| driver.version()).ok(),
        };
        let newest = newest.map(|version| Version(version).major());
        with_search(|search| search.open(library, newest))
    });
    shared.as_ref().map_err(Clone::clone)
}

fn with_search<T>(ask: impl FnOnce(&Search) -> T) -> T {
    let mut search = SEARCH.lock().unwrap_or_else(PoisonError::into_inner);
    ask(search.get_or_insert_with(Search::from_env))
}

/// The driver.
fn driver() -> Result<Driver<'static>, LoadError> {
    get(Library::Driver).map(Driver::new)
}

/// The driver, started, with at least one GPU.
fn working_driver() -> Result<Driver<'static>, LoadError> {
    let driver = driver()?;
    driver.initialize()?;
    if driver.count()? == 0 {
        let visible = std::env::var("CUDA_VISIBLE_DEVICES")
            .map(|visible| format!("; CUDA_VISIBLE_DEVICES is `{visible}`"));
        let because = format!("cuDeviceGetCount says 0{}", visible.unwrap_or_default());
        return Err(LoadError::NoDevice { because });
    }
    Ok(driver)
}

/// The driver, started, with at least one GPU, if it knows the CUDA that this program was built with.
fn fitting_driver() -> Result<Driver<'static>, LoadError> {
    let driver = working_driver()?;
    let (known, needed) = (driver.version()?, TOOLKIT.parse().unwrap_or(0));
    if known < needed {
        return Err(LoadError::OldDriver {
            driver: Version(known).to_string(),
            toolkit: Version(needed).to_string(),
        });
    }
    Ok(driver)
}

/// Whether the program does without a library that is nowhere. A file that the user named has to be whole.
pub(crate) fn is_dispensable(library: Library, error: &LoadError) -> bool {
    match library {
        Library::Nvrtc => true,
        Library::Curand => matches!(error, LoadError::NoLibrary { .. }),
        _ => false,
    }
}

/// See [`crate::load`].
pub(crate) fn load() -> Result<(), LoadError> {
    static LOADED: OnceLock<Result<(), LoadError>> = OnceLock::new();
    let load = || {
        fitting_driver()?;
        for library in Library::ALL {
            match get(library) {
                Err(error) if !is_dispensable(library, &error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    };
    LOADED.get_or_init(load).clone()
}

/// See [`crate::find`].
pub(crate) fn find() -> Result<(), LoadError> {
    static FOUND: OnceLock<Result<(), LoadError>> = OnceLock::new();
    let find = || {
        let newest = Version(fitting_driver()?.version()?).major();
        for library in Library::ALL {
            let is_there = with_search(|search| search.find(library, Some(newest)));
            if library == Library::Driver || is_there {
                continue;
            }
            // Loading it shows what is wrong, or that the system finds it somewhere else.
            match get(library) {
                Err(error) if !is_dispensable(library, &error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    };
    FOUND.get_or_init(find).clone()
}

/// See [`crate::found`].
pub(crate) fn found() -> Option<(String, OsString)> {
    with_search(Search::found)
}

/// See [`crate::has_device`].
pub(crate) fn has_device() -> bool {
    working_driver().is_ok()
}

/// See [`crate::devices`].
pub(crate) fn devices() -> Result<Vec<DeviceInfo>, LoadError> {
    let driver = working_driver()?;
    (0..driver.count()?)
        .map(|ordinal| driver.device(ordinal))
        .collect()
}

/// See [`crate::driver_version`].
pub(crate) fn driver_version() -> Result<Version, LoadError> {
    driver()?.version().map(Version)
}
