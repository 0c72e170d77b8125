"""Programs compiled for devices that this machine lacks: bounds on what comes out."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

import jax
import pytest

from milan_jax._src.decoding import program
from milan_jax._src.errors import UserError
from milan_jax._src.lab.benchmark import compiled, programs, targets
from milan_jax._src.lab.benchmark.peaked import abstract_release
from milan_jax._src.search.rows import ACCELERATOR_ROWS
from tests.helpers.commands import run_here

ROOT = pathlib.Path(__file__).resolve().parents[3]
PACKAGES = {"h100": "jax_cuda12_plugin", "v5e:2x2": "libtpu"}


def _needs(target):
  package = PACKAGES[target]
  return pytest.mark.skipif(
    importlib.util.find_spec(package) is None,
    reason=f"{package} is not installed: pip install 'milan-jax[compilers]'",
  )


TARGETS = [pytest.param(target, marks=_needs(target)) for target in PACKAGES]


def _run(target, script, *flags):
  """Runs a command that compiles; returns what it prints."""
  # In a separate process: a compiler for TPUs is used by one process at a time.
  found = subprocess.run(
    [sys.executable, str(ROOT / script), *flags],
    cwd=ROOT,
    env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0"},
    capture_output=True,
    text=True,
  )
  assert found.returncode == 0, found.stderr
  assert f"Compiled for {target}" in found.stdout
  assert ", not run;" in found.stdout
  return found.stdout


def _compile(target, folder, *options):
  """Compiles small programs; returns the command's rows."""
  path = folder / "rows.json"
  flags = [f"--compile_for={target}", "--hidden_size=64", "--vocabs=200", *options]
  _run(target, "benchmarks/bench_decode.py", *flags, f"--json={path}")
  found = json.loads(path.read_text())
  assert {row["topology"] for row in found} == {target}
  return found


@pytest.fixture(scope="module", params=TARGETS)
def rows(request, tmp_path_factory):
  """Rows of small programs, by name; the decoder's rows take several chunks."""
  found = _compile(
    request.param,
    tmp_path_factory.mktemp("compiled"),
    *("--batches=24", "--strategies=greedy,rerank", "--dtypes=float32"),
    "--programs=decoder,captioner_step,language_model_step",
  )
  return {row["program"]: row for row in found}


def test_a_row_has_what_was_compiled(rows):
  devices = 4 if rows["rerank"]["topology"] == "v5e:2x2" else 1
  assert set(rows) == {"greedy", "rerank", "captioner_step", "language_model_step"}
  for row in rows.values():
    assert row["status"] == "compiled, not run"
    assert (row["devices"], row["batch"]) == (devices, 24 * devices)
    assert row["dtype"] == "float32"
    assert row["compile_s"] > 0
    assert row["arguments_mb"] < row["hbm_mb"]
  # Training compiles one loop forward and one backward, for each layer.
  assert rows["captioner_step"]["loops"] == 2
  assert rows["language_model_step"]["loops"] == 4


def test_the_search_has_few_loops_and_products(rows):
  """Each costs compile time; on a GPU each loop also costs round trips to the host."""
  greedy, rerank = rows["greedy"], rows["rerank"]
  # Greedy's rows fit in one chunk: only the loops over steps are left.
  assert greedy["loops"] == 2 and greedy["products"] <= 10
  # A pool of 24 x 50 rows takes two chunks.
  assert 2 < rerank["loops"] <= 8
  assert rerank["products"] <= 10 and rerank["sorts"] <= 4
  assert rerank["fusions"] <= (150 if rerank["topology"] == "h100" else 400)
  assert rerank["temp_mb"] < 400


def test_devices_sum_gradients_once_per_step(rows):
  for name in ("captioner_step", "language_model_step"):
    counts = rows[name]["collectives"]
    if rows[name]["devices"] == 1:
      assert counts == {}
    else:
      # The gradients, and sums of masks and losses, which are a few numbers.
      assert set(counts) == {"all-reduce"} and counts["all-reduce"] <= 5
      assert rows[name]["large_collectives"] <= 1
  if rows["captioner_step"]["devices"] > 1:
    assert rows["captioner_step"]["large_collectives"] == 1


@pytest.mark.parametrize("target", TARGETS)
def test_the_encoder_compiles_equal_blocks_once(target, tmp_path):
  options = ("--programs=encoder", "--batches=4", "--dtypes=bfloat16")
  (row,) = _compile(target, tmp_path, *options)
  assert row["backbone"] == "resnet101"
  # Of 104 convolutions those of the stem, of each stage's first block, and of another.
  assert row["products"] == 1 + 4 * (4 + 3)
  assert row["loops"] == 4


@pytest.mark.parametrize("target", TARGETS)
def test_training_with_word_detectors_compiles(target):
  sizes = ("--encoder=resnet18", "--hidden_size=64", "--lm_hidden_size=64")
  detectors = ("--word_weight=2", "--word_hidden_size=64")
  printed = _run(target, "train.py", f"--compile_only={target}", *sizes, *detectors)
  for name in ("language_model_step", "captioner_step", "word_detectors_step"):
    assert name in printed


@pytest.mark.parametrize(
  ("strategy", "loops", "products"), [("greedy", 2, 10), ("rerank", 6, 10)]
)
def test_the_search_of_accelerators_is_lowered_to_few_loops(strategy, loops, products):
  """Without their compilers: what these get, for this machine's processor."""
  release = abstract_release(vocab_size=200, hidden_size=64)
  sizes = {"batches": (24,), "beams": (50,), "lengths": (15,), "dtypes": ("float32",)}
  grid = programs.Grid(programs=("decoder",), strategies=(strategy,), **sizes)
  with mock.patch.object(program, "packing_for", lambda platform: ACCELERATOR_ROWS):
    (found,) = programs.programs(release, grid, jax.devices()[:1])
    text = found.lower().as_text()
  assert text.count("stablehlo.while") <= loops
  assert text.count("stablehlo.dot_general") <= products


def test_operations_are_counted():
  text = """
  %dot.1 = f32[8,4]{1,0} dot(%a, %b), lhs_contracting_dims={1}
  %c = f32[8]{0} convolution(%a, %b), window={size=3}
  %d = (f32[8], s8[4]) custom-call(%a, %b), custom_call_target="__cublas$gemm"
  %e = f32[8] custom-call(%a), custom_call_target="__cudnn$convForward"
  %f = f32[8] custom-call(%a), custom_call_target="TopK"
  %while.3 = (s32[], f32[8]) while(%tuple), condition=%c, body=%b
  %g = f32[8] fusion(%a), kind=kLoop, calls=%fused_sort
  %h = (f32[8], s32[8]) sort(%a, %b), dimensions={0}
  %i = f32[8] all-reduce(%a), to_apply=%add
  %j = f32[8] all-reduce-start(%a), to_apply=%add
  %k = f32[8] all-reduce-done(%j)
  %l = f32[16] all-gather(%a), dimensions={0}
  """
  assert compiled.count_operations(text) == {
    "loops": 1,
    "products": 4,
    "sorts": 1,
    "fusions": 1,
    "collectives": {"all-reduce": 2, "all-gather": 1},
  }


def test_bytes_of_collectives_are_counted():
  text = """
  %i = f32[8,4]{1,0:T(8,128)} all-reduce(%a), to_apply=%add
  %j = (f32[], bf16[2,3]{1,0}, /*index=2*/pred[5]) all-reduce-start(%a), to_apply=%add
  %k = f32[100] all-reduce-done(%j)
  %l = s32[16]{0} all-gather(f32[99] %a), dimensions={0}
  %m = f32[7] fusion(f32[8] %all-reduce.1), calls=%f
  """
  expected = [4 * 32, 4 + 2 * 6 + 5, 4 * 16]
  assert compiled.collective_bytes(text) == expected


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (("--compile_for=h101",), "expected h100, h200, or a TPU topology such as v5e:2x2"),
    (("--compile_for=",), "a TPU topology such as v5e:2x2; found ''"),
    (("--compile_for=h100", "--programs=all"), "--programs: expected some of decoder"),
    (("--compile_for=h100", "--batches=none"), "--batches: expected whole numbers"),
    (("--compile_for=h100", "--plot=a.png"), "--plot: --compile_for runs nothing"),
    (("--compile_for=h100", "--devices=2"), "--devices: --compile_for runs nothing"),
    (("--programs=decoder",), "--programs: only --compile_for uses it"),
  ],
)
def test_bad_input_is_said_plainly(flags, message):
  found = run_here("bench", *flags)
  assert found.returncode == 2
  assert message in found.stderr
  assert "Traceback" not in found.stderr


@_needs("v5e:2x2")
@pytest.mark.parametrize("name", ["v5e:3x7", "v99:2x2", "v5e:"])
def test_topologies_that_do_not_exist(name):
  with pytest.raises(UserError, match=rf"such as v5e:2x2; found '{name}' \(INVALID"):
    targets.target_devices(name)


def test_a_busy_compiler_is_not_taken_for_a_wrong_name(monkeypatch):
  def busy(**_):
    raise RuntimeError("ABORTED: cannot access libtpu multi-process lockfile.")

  monkeypatch.setattr(targets.importlib.util, "find_spec", lambda name: name)
  monkeypatch.setattr(targets.topologies, "get_topology_desc", busy)
  with pytest.raises(UserError, match="one process at a time") as caught:
    targets.target_devices("v5e:2x2")
  assert "expected" not in str(caught.value)


@pytest.mark.parametrize(("name", "extra"), [("h200", "cuda"), ("v5e:2x2", "tpu")])
def test_a_missing_compiler_is_named(name, extra, monkeypatch):
  monkeypatch.setattr(targets.importlib.util, "find_spec", lambda name: None)
  with pytest.raises(UserError, match=r"milan-jax\[compilers\]") as caught:
    targets.target_devices(name)
  assert f"'milan-jax[{extra}]'" in str(caught.value)
