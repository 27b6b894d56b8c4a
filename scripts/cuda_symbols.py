#!/usr/bin/env python3
"""Writes crates/cuda/src/trampolines/symbols/*.s: the functions that the crate cudarc declares.

    python3 scripts/cuda_symbols.py        # after an update of cudarc in Cargo.lock

The names are those of cudarc's `extern "C"` blocks, for every version of CUDA that it knows, so that a build with any
toolkit finds all that it may call. Needs `cargo` and the sources that it has fetched.
"""

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "crates/cuda/src/trampolines/symbols"
# The module of cudarc, which is the name of the assembler macro too.
MODULES = ["driver", "cublas", "cublaslt", "cudnn", "curand", "nvrtc"]
EXTERN = re.compile(r'extern "C" \{\s*fn (\w+)\(')


def cudarc() -> tuple[Path, str]:
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features"]
    packages = json.loads(subprocess.check_output(command, cwd=ROOT))["packages"]
    package = next(p for p in packages if p["name"] == "cudarc")
    return Path(package["manifest_path"]).parent, package["version"]


def main() -> None:
    source, version = cudarc()
    for module in MODULES:
        names = sorted(set(EXTERN.findall((source / f"src/{module}/sys/mod.rs").read_text())))
        lines = [f"// cudarc {version}, by scripts/cuda_symbols.py"] + [f"{module} {name}" for name in names]
        (FOLDER / f"{module}.s").write_text("\n".join(lines) + "\n")
        print(f"{module}: {len(names)}")


if __name__ == "__main__":
    main()
