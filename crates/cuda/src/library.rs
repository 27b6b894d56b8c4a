//! NVIDIA's libraries: their files, and where they come from.

/// The newest CUDA whose libraries are known by name, and the oldest.
const MAJORS: std::ops::RangeInclusive<u32> = 12..=13;

/// A library of NVIDIA's. The order is that of loading: cuDNN uses those before it, and finds them because they are loaded already. The
/// numbers are in `trampolines/libraries.s` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// The driver itself.
    Driver = 0,
    /// Products with epilogues, which cuBLAS stands on.
    CublasLt = 1,
    /// Products of matrices.
    Cublas = 2,
    /// Random numbers. Graft draws its own, but candle opens a generator for each device; where the library is missing, a stand-in
    /// is what it opens.
    Curand = 3,
    /// The compiler for kernels. Nothing here calls it: cuDNN does for some of its convolutions, if it is there.
    Nvrtc = 4,
    /// Convolutions.
    Cudnn = 5,
}

impl Library {
    /// All, in the order of their numbers.
    pub(crate) const ALL: [Self; 6] = [
        Self::Driver,
        Self::CublasLt,
        Self::Cublas,
        Self::Curand,
        Self::Nvrtc,
        Self::Cudnn,
    ];

    /// Its files' names, the best first. `newest` is the newest CUDA that the driver knows, if that is known: its
    /// number stands in some of the names, and libraries of a newer one do not work.
    pub(crate) fn names(self, newest: Option<u32>) -> Vec<String> {
        let most = newest.map_or(*MAJORS.end(), |newest| newest.max(*MAJORS.start()));
        let known = MAJORS.rev().filter(|&major| major <= most);
        let of_each = |stem: &str| known.map(|major| format!("{stem}.so.{major}")).collect();
        match self {
            Self::Driver => vec!["libcuda.so.1".to_owned()],
            Self::CublasLt => of_each("libcublasLt"),
            Self::Cublas => of_each("libcublas"),
            Self::Curand => vec!["libcurand.so.10".to_owned()],
            Self::Nvrtc => of_each("libnvrtc"),
            Self::Cudnn => vec!["libcudnn.so.9".to_owned()],
        }
    }

    /// What people call it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Driver => "NVIDIA's driver",
            Self::CublasLt => "cuBLASLt",
            Self::Cublas => "cuBLAS",
            Self::Curand => "cuRAND",
            Self::Nvrtc => "NVRTC",
            Self::Cudnn => "cuDNN",
        }
    }

    /// How to get all libraries but the driver's.
    pub(crate) fn install(newest: Option<u32>) -> String {
        let packages = match newest {
            Some(12) => "nvidia-cudnn-cu12 nvidia-cublas-cu12 nvidia-cuda-nvrtc-cu12",
            _ => "nvidia-cudnn-cu13 nvidia-cublas nvidia-cuda-nvrtc",
        };
        format!(
            "`pip install {packages}` for the `python3` on PATH, or name their folders in GRAFT_CUDA_LIBRARIES"
        )
    }

    /// Which version has the functions that an older one lacks.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::Driver => "update NVIDIA's driver",
            _ => "install the version of the CUDA that graft was built with",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places() {
        for (place, library) in Library::ALL.into_iter().enumerate() {
            assert_eq!(library as usize, place);
            let macros = include_str!("trampolines/libraries.s");
            let name = format!("{library:?}").to_lowercase();
            let text = format!(".macro {name} name\n    graft_cuda_function \\name, {place}\n");
            assert!(macros.contains(&text), "{text}");
        }
    }

    #[test]
    fn a_driver_gets_libraries_it_knows() {
        let both = ["libcublas.so.13", "libcublas.so.12"];
        assert_eq!(Library::Cublas.names(None), both);
        assert_eq!(Library::Cublas.names(Some(14)), both);
        assert_eq!(Library::Cublas.names(Some(13)), both);
        assert_eq!(Library::Cublas.names(Some(12)), both[1..]);
        assert_eq!(Library::Cudnn.names(Some(12)), ["libcudnn.so.9"]);
        assert!(Library::install(Some(12)).contains("nvidia-cublas-cu12"));
        assert!(!Library::install(Some(13)).contains("cu12"));
        for newest in [Some(12), Some(13), None] {
            assert!(!Library::install(newest).contains("curand"));
        }
    }
}
