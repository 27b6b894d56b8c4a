//! Why NVIDIA's libraries can't be used.

use std::fmt::Write as _;

/// The hint that always helps.
const ON_THE_CPU: &str = "`--device cpu` needs none of it";

/// Why NVIDIA's libraries can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The program was built without the feature.
    #[error(
        "this build of graft has no CUDA; build with `cargo build --release --features cuda`\nhint: use `--device cpu`"
    )]
    NotBuilt,
    /// The driver's library is nowhere.
    #[error(
        "no NVIDIA driver was found: {name} could not be loaded{}\nhint: install NVIDIA's driver, or use `--device cpu`",
        search(looked, faults)
    )]
    NoDriver {
        /// The file that was looked for.
        name: String,
        /// The places it was looked for in, in order.
        looked: Vec<String>,
        /// What the system said about files of the name that were there.
        faults: Vec<String>,
    },
    /// Another library is nowhere.
    #[error(
        "{what} was not found: {names} could not be loaded{}\nhint: {install}; {ON_THE_CPU}",
        search(looked, faults)
    )]
    NoLibrary {
        /// Which library.
        what: &'static str,
        /// The files that were looked for.
        names: String,
        /// The places they were looked for in, in order.
        looked: Vec<String>,
        /// What the system said about files of these names that were there.
        faults: Vec<String>,
        /// How to get it.
        install: String,
    },
    /// A file where the user said that the libraries are can't be loaded.
    #[error(
        "GRAFT_CUDA_LIBRARIES: {fault}\nhint: name folders with whole libraries for this kind of processor"
    )]
    Named {
        /// What the system said.
        fault: String,
    },
    /// A library of another version than the program expects.
    #[error(
        "{library} has no function {symbol}: it is older or newer than this build of graft expects\nhint: {advice}; {ON_THE_CPU}"
    )]
    NoSymbol {
        /// The file.
        library: String,
        /// The function.
        symbol: String,
        /// Which version would do.
        advice: &'static str,
    },
    /// The driver refuses.
    #[error(
        "NVIDIA's driver can't be used: {call} says {error}\nhint: see whether `nvidia-smi` works; {ON_THE_CPU}"
    )]
    Driver {
        /// The function of the driver that was called.
        call: &'static str,
        /// Its error's name and number.
        error: String,
    },
    /// The driver works and has nothing to work with.
    #[error(
        "NVIDIA's driver is there, but it sees no GPU ({because})\nhint: see what `nvidia-smi` lists; {ON_THE_CPU}"
    )]
    NoDevice {
        /// What says so.
        because: String,
    },
    /// The driver can't compile what the toolkit made.
    #[error(
        "NVIDIA's driver knows CUDA {driver}, and this build of graft was made with CUDA {toolkit}\nhint: update the driver, or build with an older toolkit; {ON_THE_CPU}"
    )]
    OldDriver {
        /// The driver's newest CUDA, such as 12.4.
        driver: String,
        /// The toolkit's.
        toolkit: String,
    },
    /// A GPU that is not there.
    #[error("there is no GPU {ordinal}: {} found: {}\nhint: count from 0, as in `cuda:0`", count(names.len()), list(names))]
    NoSuchDevice {
        /// The number that was asked for.
        ordinal: usize,
        /// The names of those that are there.
        names: Vec<String>,
    },
}

fn search(looked: &[String], faults: &[String]) -> String {
    let mut text = String::new();
    for fault in faults {
        write!(text, "\n  {fault}").expect("a String takes all");
    }
    write!(text, "\n  looked in: {}", looked.join(", ")).expect("a String takes all");
    text
}

fn count(number: usize) -> String {
    match number {
        1 => "1 was".to_owned(),
        n => format!("{n} were"),
    }
}

fn list(names: &[String]) -> String {
    let numbered = names.iter().enumerate();
    let texts: Vec<_> = numbered
        .map(|(n, name)| format!("cuda:{n} is {name}"))
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_what_where_and_a_way_out() {
        let looked = vec!["/opt/fake".to_owned(), "the system's folders".to_owned()];
        let faults = vec!["/opt/fake/libcuda.so.1: file too short".to_owned()];
        let text = LoadError::NoDriver {
            name: "libcuda.so.1".to_owned(),
            looked,
            faults,
        };
        assert_eq!(
            text.to_string(),
            "no NVIDIA driver was found: libcuda.so.1 could not be loaded\n  /opt/fake/libcuda.so.1: file too short\n  \
             looked in: /opt/fake, the system's folders\nhint: install NVIDIA's driver, or use `--device cpu`"
        );
        let none = LoadError::NoSuchDevice {
            ordinal: 2,
            names: vec!["NVIDIA A".to_owned(), "NVIDIA B".to_owned()],
        };
        assert_eq!(
            none.to_string(),
            "there is no GPU 2: 2 were found: cuda:0 is NVIDIA A, cuda:1 is NVIDIA B\nhint: count from 0, as in `cuda:0`"
        );
        let not_built = LoadError::NotBuilt.to_string();
        assert!(
            not_built.contains("cargo build --release --features cuda"),
            "{not_built}"
        );
        assert!(
            not_built.contains("hint: use `--device cpu`"),
            "{not_built}"
        );
    }
}
