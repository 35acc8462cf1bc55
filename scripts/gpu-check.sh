#!/usr/bin/env bash
# The GPU machine check: scripts/gpu-check.sh [--cpu-dry-run]
# Unpacks .gpu/pack.tar.gz (scripts/gpu-pack.sh makes it), builds both addons against the torch of Python with CMake and Ninja alone, and
# compares the device with the CPU: numbers, 50-step losses, task heads, adapters, updates, dropout, memory, training; then the speed of
# pre-training and of fine-tuning beside Hugging Face (skipped, with the reason, where transformers is missing), and 200 steps of the full
# recipe dacbert from text to checkpoint (skipped, with the reason, where the pack has no parsed text). The last
# output is one JSON document (also in $STRATABERT_GPU_WORK/gpu-check.json); the exit code is 0 only if all bounds hold. With
# --cpu-dry-run everything runs on the CPU.
#   STRATABERT_PYTHON     the Python that has torch (default python3)
#   STRATABERT_GPU_WORK   where to unpack and build (default build/gpu)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
device=cuda
case ${1:-} in
  '') ;;
  --cpu-dry-run) device=cpu ;;
  *)
    echo "error: '$1' is unknown; nothing or --cpu-dry-run was expected" >&2
    exit 2
    ;;
esac
python=${STRATABERT_PYTHON:-python3}
work=${STRATABERT_GPU_WORK:-$root/build/gpu}
pack=$root/.gpu/pack.tar.gz

need() { command -v "$1" > /dev/null || { echo "error: '$1' was not found; it is needed to $2" >&2; exit 2; }; }
need cmake 'build the addons'
need ninja 'build the addons'
need "$python" 'find torch (STRATABERT_PYTHON names another one)'
need "${CXX:-c++}" 'build the addons'
[[ -f $pack ]] || { echo "error: $pack is missing; make it with scripts/gpu-pack.sh on a machine that has node_modules" >&2; exit 2; }

# Found without importing it.
torch=$("$python" -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")')
for part in include/ATen/ATen.h lib/libtorch_cpu.so version.py; do
  [[ -e $torch/$part ]] || { echo "error: $python has no torch with $part (looked in '$torch')" >&2; exit 2; }
done
if [[ $device == cuda && ! -e $torch/lib/libtorch_cuda.so ]]; then
  echo "error: the torch in $torch is a CPU build; one with lib/libtorch_cuda.so was expected (or --cpu-dry-run)" >&2
  exit 2
fi

started=$SECONDS
app=$work/app
rm -rf "$app"
mkdir -p "$app/test/golden"
tar -xzf "$pack" -C "$app"
cp -R "$root"/{native,CMakeLists.txt,package.json} "$app/"
cp "$root"/test/golden/loss_curve.json "$root"/test/golden/loss-curve-batches.safetensors.gz "$app/test/golden/"

jobs=${STRATABERT_GPU_JOBS:-$(nproc)}
echo "building the addons against $torch with $jobs jobs" >&2
cmake -S "$app" -B "$work/cmake" -G Ninja -DCMAKE_BUILD_TYPE=Release "-DCMAKE_JS_INC=$app/node_modules/node-api-headers/include" \
  "-DSTRATABERT_LIBTORCH=$torch" "-DSTRATABERT_ADDONS=$app/addons" >&2
cmake --build "$work/cmake" --parallel "$jobs" >&2
echo "built in $((SECONDS - started)) s" >&2

unset STRATABERT_ADDONS LIBTORCH LIBTORCH_USE_PYTORCH
export STRATABERT_LIBTORCH=$torch
# fp32 means fp32, for us and for the peer.
export TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=0 NVIDIA_TF32_OVERRIDE=0
exec "$app/node" "$app/scripts/gpu-check.js" --device "$device" --python "$python" --peers "$root/benchmarks/peers" --work "$work"
