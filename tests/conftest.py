"""Settings that every test runs under, and fixtures of recorded data."""

import atexit
import importlib.metadata
import importlib.util
import os
import pathlib
import shutil
import tempfile

from tests.helpers.together import PLAIN_EMITTERS

# What one test compiles no other has to: all processes of a run share a folder. JAX
# reads these when it is imported.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
  _COMPILED = tempfile.mkdtemp(prefix="milan-jax-tests-")
  atexit.register(shutil.rmtree, _COMPILED, ignore_errors=True)
  os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED
  os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
# Most programs of the tests run once or twice, and compiling them takes far longer than
# running them: they are compiled in haste. Where tests are of what optimization could
# change, or run long, they use the fixture `optimized`.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# JAX 0.10's emitters of fused operations take several times as long to compile as the
# plain ones, which later versions lack. A process with XLA_FLAGS of its own keeps them,
# and so do the comparisons of test_users_programs.py.
if importlib.metadata.version("jaxlib").startswith("0.10."):
  os.environ.setdefault("XLA_FLAGS", PLAIN_EMITTERS)
# As many processes run tests as there are cores: more threads of torch and NumPy would
# keep the cores busy with waiting for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import numpy as np
import pytest

from tests.helpers.recorded import CHECKPOINT, arrays_and_strings

jax.config.update("jax_numpy_rank_promotion", "raise")

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"

# Files of devices, and JAX's plugins for them.
DEVICES = pathlib.Path("/dev")
DEVICE_FILES = ("nvidia[0-9]*", "accel[0-9]*", "vfio/[0-9]*")
PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin", "libtpu")


def has_accelerator() -> bool:
  """Returns whether JAX would use a GPU or TPU; does not make JAX look for it."""
  return any(any(DEVICES.glob(pattern)) for pattern in DEVICE_FILES) and any(
    importlib.util.find_spec(name) for name in PLUGINS
  )


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads its options
def pytest_cmdline_main(config):
  """Runs `-m device` in one process, where an accelerator is; other tests on the CPU.

  Several processes would fight for the accelerator's memory. Tests that do not matter
  there have tolerances of a CPU.
  """
  if config.option.markexpr == "device":
    config.option.numprocesses, config.option.dist, config.option.tx = 0, "no", []
    # Programs as users have them.
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "0"
    if os.environ.get("XLA_FLAGS") == PLAIN_EMITTERS:
      del os.environ["XLA_FLAGS"]  # read when a device is first used
    jax.config.update("jax_disable_most_optimizations", False)
  elif has_accelerator() and "JAX_PLATFORMS" not in os.environ:
    os.environ["JAX_PLATFORMS"] = "cpu"
    jax.config.update("jax_platforms", "cpu")


# Files that take longest, by size: begun last, one would keep a process waiting for the
# other at the end.
LONG = (
  "training/test_train_milan.py",
  "docs/test_probing.py",
  "decoding/test_decoder.py",
  "catalog/test_default_run.py",
  "models/test_backbones.py",
  "docs/test_pages.py",
  "commands/test_probing_together.py",
  "lab/benchmark/test_bench.py",
  "commands/test_train_projection.py",
  "api/test_public.py",
  "commands/test_describe.py",
  "exemplars/test_same_network.py",
  "commands/test_train.py",
  "experiments/test_generalize.py",
  "test_users_programs.py",
  "test_tooling.py",
  "training/test_feature_records.py",
  "commands/test_finished.py",
  "api/test_lowered_precision.py",
  "commands/test_processes.py",
  "training/test_two_processes.py",
  "lab/evaluation/test_stem.py",
  "lab/evaluation/test_eval.py",
  "probe/test_transformers_model.py",
  "commands/test_damaged_runs.py",
  "training/test_packed_objectives.py",
  "search/test_search.py",
  "decoding/test_beams.py",
  "training/test_devices.py",
  "lab/corpus/test_build.py",
)


def pytest_collection_modifyitems(items):
  """Puts the longest files first."""
  rank = {f"tests/{name}": number for number, name in enumerate(LONG)}
  items.sort(key=lambda item: rank.get(item.nodeid.split("::")[0], len(LONG)))


@pytest.fixture(scope="module")
def optimized():
  """Optimized programs, here and in processes that the tests start."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
    earlier = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()
    yield
    jax.config.update("jax_disable_most_optimizations", earlier)
    jax.clear_caches()


def _shared(name: str) -> pathlib.Path:
  path = SHARED / name
  if not path.exists():
    pytest.skip(f"{path} is absent: it holds data that the project may not carry")
  return path


@pytest.fixture(scope="session")
def whole_reference() -> pathlib.Path:
  """Outputs of the original code, with what may not travel in `tests/data`."""
  return _shared("reference")


@pytest.fixture(scope="session")
def photographs() -> pathlib.Path:
  """A folder of 500 photographs."""
  return _shared("images/imagenet-sample")


@pytest.fixture(scope="session")
def annotations() -> pathlib.Path:
  """Human annotations, `layer,unit,summary`."""
  return _shared("text/milannotations-resnet152-imagenet.csv")


@pytest.fixture(scope="session")
def tiny():
  """The release made from the original's tiny checkpoint."""
  from milan_jax._src.store.official import read_official, to_release

  return to_release(read_official(CHECKPOINT))


@pytest.fixture(scope="session")
def _decoding():
  return arrays_and_strings("decoding")


@pytest.fixture(scope="session")
def outputs(_decoding):
  """What the original computed with it."""
  return _decoding[0]


@pytest.fixture(scope="session")
def strings(_decoding):
  """What the original wrote with it."""
  return _decoding[1]


@pytest.fixture(scope="session")
def captioner(tmp_path_factory):
  """The folder of a released captioner."""
  # Imports Flax, which most tests do without.
  from milan_jax._src.store import release as releases
  from tests.helpers.tiny_release import tiny_release

  folder = tmp_path_factory.mktemp("captioner") / "tiny"
  releases.save_release(tiny_release(), folder)
  return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
  """A file of 48 images of noise at several scales and colors."""
  rng = np.random.default_rng(0)
  images = np.empty((48, 224, 224, 3), np.uint8)
  for i in range(48):
    side = (7, 14, 28, 56)[i % 4]
    coarse = rng.integers(0, 256, (side, side, 3))
    images[i] = coarse.repeat(224 // side, 0).repeat(224 // side, 1)
  path = tmp_path_factory.mktemp("photos") / "photos.npy"
  np.save(path, images)
  return path
