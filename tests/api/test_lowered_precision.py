"""Every product of whole runs, as it is lowered, is in full float32 by either door."""

import re

import jax
import numpy as np
import pytest

import milan_jax
from tests.api.scene import TwoLayers
from tests.helpers.commands import run_here

PRODUCT = re.compile(r"stablehlo\.(?:dot_general|dot|convolution)\b.*")
# Of both operands of a product, as StableHLO writes it.
HIGHEST = re.compile(r"(?:precision HIGHEST.*|HIGHEST, )(?:precision )?HIGHEST")

# A network, its region encoder and pooling, the fused weights, the search, training.
PROGRAMS = (
  *("_run_sharded", "encode", "_pool_one", "fuse", "spread_over_devices"),
  *("take", "evaluate"),
)


def network():
  """A network that the command line finds by name, in JAX."""
  module, rng = TwoLayers(), np.random.default_rng(0)
  images = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
  shapes = jax.eval_shape(module.init, jax.random.key(0), images)
  return module, jax.tree.map(
    lambda x: rng.standard_normal(x.shape, np.float32) / 8, shapes
  )


@pytest.fixture
def lowered(tmp_path):
  """Returns the products of the programs lowered so far, by program."""
  folder = tmp_path / "programs"
  jax.clear_caches()
  jax.config.update("jax_dump_ir_to", str(folder))

  def read():
    return {
      path.name: PRODUCT.findall(path.read_text())
      for path in folder.glob("*compile.mlir")
    }

  # The caller's own default rounds operands to 7 bits.
  with jax.default_matmul_precision("bfloat16"):
    yield read
  jax.config.update("jax_dump_ir_to", "")


def check(products, programs):
  """Checks all products of float32, and that the named programs have some."""
  for name in programs:
    found = [path for path, each in products.items() if f"jit_{name}_" in path and each]
    assert found, f"no products of {name}; they are of {sorted(products)}"
  rounding = [
    (name, product)
    for name, found in products.items()
    for product in found
    if "xf32>" in product and not HIGHEST.search(product)
  ]
  assert not rounding, rounding


def test_products_that_round_are_found(lowered):
  jax.jit(lambda x: x @ x)(np.ones((3, 3), np.float32))
  with pytest.raises(AssertionError, match="dot_general"):
    check(lowered(), ())


def test_from_python(scene, lowered, tmp_path):
  _, names = scene
  module, variables = network()
  found = milan_jax.probe(module, variables, image_size="32")
  exemplars = milan_jax.collect(found, names["images"], layers=["conv2"], k=5)
  captioner = milan_jax.load(scene[0] / "captioner")
  features = captioner.encode(exemplars, tmp_path / "features")
  rerank = milan_jax.DecodingOptions(strategy="rerank", beam_size=3, length=3)
  captioner.describe(features, options=rerank)
  captioner.score(features, {milan_jax.Unit("conv2", 0): ["red dots"]})
  options = milan_jax.TrainOptions.of(hidden_size=16, max_epochs=1)
  milan_jax.train(scene[0] / "annotated", workdir=tmp_path / "train", options=options)
  check(lowered(), (*PROGRAMS, "wrapped"))  # the last scores given texts


def test_from_the_command_line(scene, lowered, tmp_path):
  folder, names = scene
  np.save(tmp_path / "images.npy", names["images"])
  described = run_here(
    "describe",
    *(f"--model={__name__}:network", f"--images={tmp_path / 'images.npy'}"),
    *(f"--milan={folder / 'captioner'}", f"--workdir={tmp_path / 'run'}"),
    *("--image_size=32", "--layers=conv2", "--k=5", "--strategy=rerank"),
    *("--beam_size=3", "--length=3"),
  )
  assert described.returncode == 0, described.stderr
  trained = run_here(
    "train",
    *(f"--exemplars={folder / 'annotated'}", f"--workdir={tmp_path / 'train'}"),
    *("--hidden_size=16", "--max_epochs=1"),
  )
  assert trained.returncode == 0, trained.stderr
  check(lowered(), PROGRAMS)
