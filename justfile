# Graft's recipes; `just` alone lists them.

export RUST_BACKTRACE := "0"

_default:
    @just --list --unsorted

# Run an experiment: `just sweep experiments/beeant.toml --data-dir D --set repeats=2`
sweep experiment *args:
    @cargo run --release --quiet -- sweep {{experiment}} {{args}}

# A sweep of seconds on generated pictures, written to results/smoke
smoke *args:
    @cargo run --release --quiet -- sweep experiments/smoke.toml {{args}}

# Draw the tables and figures of an experiment again, also while its sweep runs
report experiment *args:
    @cargo run --release --quiet -- report {{experiment}} {{args}}

# Milliseconds a picture, beside PyTorch where it is installed: `just bench --model resnet18 --batch-size 4`
bench *args:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --release --quiet
    python=${GRAFT_PYTHON:-python3}
    if command -v "$python" >/dev/null && "$python" -c 'import torch, torchvision' 2>/dev/null; then
        exec "$python" scripts/bench.py {{args}}
    fi
    echo "PyTorch was not found (\$GRAFT_PYTHON or python3 with torch and torchvision): Graft alone" >&2
    exec cargo run --release --quiet -- bench {{args}}

# All tests; arguments go to `cargo test`
test *args:
    cargo test --release --workspace {{args}}

# Format the sources
fmt:
    cargo fmt --all

# What a change has to pass: formatting, lints, tests, documentation, a smoke sweep
ci:
    bash .ci/run
