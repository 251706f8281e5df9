#!/usr/bin/env bash
# Writes the images' locks anew: every package that is installed, by version and SHA-256, for CPython 3.11 on x86-64 Linux.
# TORCH_CPU names a folder or page with torch's wheels for CPUs alone, which the usual index does not have; without it the
# lock of the cpu image is left as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."

lock() {
  uv pip compile pyproject.toml docker/locks/build.in "$@" --constraint constraints.txt --generate-hashes \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-annotate --no-header --quiet
}

lock --extra service --extra traces --output-file docker/locks/service.txt
lock --extra worker --extra traces --extra mlflow --output-file docker/locks/worker-cuda.txt
if [ -n "${TORCH_CPU:-}" ]; then
  lock docker/locks/torch-cpu.in --extra worker --extra traces --extra mlflow --find-links "$TORCH_CPU" \
    --output-file docker/locks/worker-cpu.txt
fi
