#!/usr/bin/env bash
# Checks and measures milan-jax on a GPU machine without a network, in 8 minutes.
#
#   benchmarks/on_device.sh WHEELS CPU_DESCRIPTIONS OUT
#
# WHEELS: a folder with wheels of what the machine's Python lacks (JAX and torch with CUDA
#   are usually installed there already, and then need no wheel). Made on a machine with a
#   network and the same Python:
#     benchmarks/on_device.sh requirements > requirements.txt
#     pip wheel -r requirements.txt -w WHEELS   # without the lines of what is there
# CPU_DESCRIPTIONS: `descriptions.csv` of the default run of this checkout on a CPU:
#     JAX_PLATFORMS=cpu python describe.py --workdir runs/cpu
# OUT: a new folder for results: summary.json (seconds and exit code of each part), suite.xml,
#   default-run.json, decode-*.json, training.json, exemplars.json, encoder.json, and the
#   output of each part.
#
# Each part has its own limit, and all together BUDGET seconds (480). A part that fails or
# runs out of time does not stop the others, unless JAX has no GPU. Variables, with their
# defaults:
#   PYTHON=python3   the Python whose packages are used
#   BUDGET=480       seconds
#   PARTS=           names of parts to run, such as "suite training"; empty: all. With the
#     same OUT it goes on with what is installed there, and the summary has all parts.
#   SMALL=           1: small sizes in the benchmarks, for a trial on a CPU
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}

requirements() {
  "$python" - <<'PY'
import pathlib
import tomllib

project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
tests = [one for one in extras["test"] if one.startswith(("pytest", "beartype"))]
needed = [*project["dependencies"], *extras["demo"], *extras["torch"], *tests]
print("\n".join(needed))
PY
}

if [ "${1:-}" = requirements ]; then
  requirements
  exit
fi
if [ $# != 3 ] || [ ! -d "$1" ] || [ ! -f "$2" ]; then
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
wheels=$(realpath "$1") expected=$(realpath "$2")
mkdir -p "$3" && out=$(realpath "$3")
budget=${BUDGET:-480}
touch "$out/parts.jsonl"
status=0
small=${SMALL:-}

# part NAME SECONDS COMMAND...: runs a command within its limit and what is left of all.
# `code` is its exit code; 0 if it is not among PARTS.
part() {
  local name=$1 limit=$2 left=$((budget - SECONDS)) began=$SECONDS
  shift 2
  code=0
  case " ${PARTS:-$name} " in *" $name "*) ;; *) return ;; esac
  [ "$left" -lt "$limit" ] && limit=$left
  if [ "$limit" -lt 5 ]; then
    echo "{\"part\": \"$name\", \"seconds\": 0, \"code\": null}" >> "$out/parts.jsonl"
    echo "== $name: no time left"
    status=1
    return
  fi
  # As Ctrl-C, so that a program still writes what it has.
  timeout --signal=INT --kill-after=10 "$limit" "$@" > "$out/$name.txt" 2>&1
  code=$?
  [ $code = 0 ] || status=1
  echo "{\"part\": \"$name\", \"seconds\": $((SECONDS - began)), \"code\": $code}" \
    >> "$out/parts.jsonl"
  echo "== $name: exit code $code after $((SECONDS - began)) s"
  tail -n 4 "$out/$name.txt"
}

install() {
  # A virtual environment of a virtual environment does not see its packages.
  "$python" -m venv --without-pip --system-site-packages "$out/venv" &&
    "$python" -c 'import site; print("\n".join(site.getsitepackages()))' \
      > "$(echo "$out"/venv/lib/python3*/site-packages)/parent.pth" &&
    requirements > "$out/requirements.txt" &&
    "$python" -m pip --python "$out/venv/bin/python" install -q --no-index \
      --find-links "$wheels" -r "$out/requirements.txt"
}
export -f install requirements
export python wheels out
part install 120 bash -c install
[ -x "$out/venv/bin/python" ] && python=$out/venv/bin/python
export PYTHONPATH=$PWD JAX_COMPILATION_CACHE_DIR=$out/cache
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.3
# Torch and JAX share the GPU in the tests and in the benchmarks of training.
export XLA_PYTHON_CLIENT_PREALLOCATE=false

part devices 60 "$python" -c '
import os, sys
import jax
print(jax.__version__, jax.devices(), jax.devices()[0].device_kind)
if jax.default_backend() == "cpu" and not os.environ.get("SMALL"):
  sys.exit("JAX finds no GPU here: install its plugin for CUDA (jax[cuda12] or [cuda13]).")
import torch
print(torch.__version__, torch.cuda.is_available())
'
# Everything else would measure the processor.
[ "$code" = 0 ] || PARTS=none

# The default run from start to page, then compared.
run=("$python" describe.py --workdir "$out/run")
part default-run 100 "${run[@]}"
part compare 20 "$python" benchmarks/compare_descriptions.py "$expected" \
  "$out/run/descriptions.csv" --json "$out/default-run.json"

# The files alone that have such tests: others may need libraries that are not here.
mapfile -t files < <(grep -rl --include='test_*.py' 'mark\.device' tests | sort)
part suite 180 "$python" -m pytest -v --tb=short -m device "${files[@]}" \
  -p no:cacheprovider --junitxml="$out/suite.xml"

# decode NAME SECONDS FLAGS...
decode() {
  local name=$1 limit=$2
  shift 2
  local sizes=(--batches 1024 --beams 50 --lengths 15)
  [ -n "$small" ] && sizes=(--batches 4 --beams 4 --lengths 4 --vocabs 64 --hidden_size 16)
  part "decode-$name" "$limit" "$python" benchmarks/bench_decode.py "${sizes[@]}" \
    --strategies rerank --cores 0 --json "$out/decode-$name.json" "$@"
}
decode bfloat16 120 --dtypes bfloat16 --against hoisted,jax_beam
training=("$python" benchmarks/bench_training.py --lengths 16 --json "$out/training.json")
training+=(--dtypes bfloat16 float32)
if [ -n "$small" ]; then
  training+=(--batches 2 --rounds 1 --models language_model)
else
  training+=(--batches 1024)
fi
part training 120 "${training[@]}"
# Without autotuning, and with the library's products in place of Triton's.
XLA_FLAGS="--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false" \
  decode untuned 60 --dtypes bfloat16,float32 --against none
decode float32 100 --dtypes float32 --against hoisted,jax_beam
decode tensorfloat32 100 --dtypes tensorfloat32 --against hoisted
# A torch model's activations by DLPack, and whether the statistics keep up.
exemplars=("$python" benchmarks/bench_exemplars.py milan_jax/_src/images/photographs)
exemplars+=(--probes torch --plain_images 0 --json "$out/exemplars.json")
encoder=("$python" benchmarks/bench_backbones.py --json "$out/encoder.json")
if [ -n "$small" ]; then
  exemplars+=(--network wide7 --num_images 16 --batch_size 8)
  encoder+=(efficientnet-lite0 --batch 1 --size 32 --rounds 1)
else
  exemplars+=(--network resnet18 --num_images 4000 --batch_size 128)
  encoder+=(resnet101 efficientnet-lite0 --batch 64)
fi
part exemplars 60 "${exemplars[@]}"
part encoder 60 "${encoder[@]}"
decode compiled 100 --dtypes bfloat16 --against compiled

"$python" - "$out" "$SECONDS" <<'PY'
import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])
summary = {"seconds": int(sys.argv[2])}
# Of a part that ran again, the last.
lines = map(json.loads, (out / "parts.jsonl").read_text().splitlines())
summary["parts"] = list({part["part"]: part for part in lines}.values())
for path in sorted(out.glob("*.json")):
  if path.name != "summary.json":
    summary[path.stem] = json.loads(path.read_text())
(out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
PY
echo "== all parts: $SECONDS s; figures in $out/summary.json"
exit $status
