"""Test: negative units, for which the right answer is "no clear pattern".

Shuffled: each region is from a unit of another layer, in turn. Random: smooth masks at
random places of random photographs. Dead: units that never vary.
"""

import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool
from PIL import Image

from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.preprocessing import EFFICIENTNET_LITE
from milan_jax._src.images.source import UnreadableImageError
from milan_jax._src.lab.evaluation import stem
from milan_jax._src.lab.evaluation.described import collected_in
from milan_jax._src.lab.evaluation.job import Job, Outcome
from milan_jax._src.probe.callable_model import CallableProbe
from milan_jax._src.probe.model_options import Network, make_network
from milan_jax._src.records import Unit
from milan_jax._src.runs.workdir import EXEMPLARS
from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.store.exemplar_store import StoredExemplars
from milan_jax._src.store.region_sets import RegionSetWriter
from milan_jax._src.text.judge import Truth

LAYER, DEAD_LAYER = "negatives", "dead"
MODEL = "milan_jax._src.lab.evaluation.negatives:dead_units"
NUM_SHUFFLED, NUM_RANDOM, NUM_DEAD = 60, 40, 10
K, SIZE = 15, 224
# Draws for a shuffled unit, before its last region is repeated.
MOST_DRAWS = 20 * K
# Tests whose layers are shuffled.
_SOURCES = ("classes", "hand-built", "lite0", "stem")
SHUFFLED = Truth("shuffled regions", negative=True)
RANDOM = Truth("random masks", negative=True)
DEAD = Truth("dead unit", negative=True)


def dead_units() -> Network:
  """A network with constant units: half of them zero, the others at another value."""
  values = jnp.linspace(-1.0, 3.0, NUM_DEAD).at[: NUM_DEAD // 2].set(0.0)

  def function(images: jax.Array) -> dict[str, jax.Array]:
    return {DEAD_LAYER: jnp.zeros((len(images), 7, 7, 1)) + values[None, None, None]}

  probe = CallableProbe(function, EFFICIENTNET_LITE)
  return make_network(probe, EFFICIENTNET_LITE, (DEAD_LAYER,))


def run(job: Job) -> Outcome:
  """Describes all negatives.

  The corpus's own units of nothing are not among them: most have something in common.

  Raises:
    MissingSourceError: if there are no photographs.
  """
  photographs = job.need_photographs()
  store = job.workdir / "negatives-regions"
  if not store.exists():
    _write(job, photographs, store)
  truths = {Unit(LAYER, unit): SHUFFLED for unit in range(NUM_SHUFFLED)} | {
    Unit(LAYER, NUM_SHUFFLED + unit): RANDOM for unit in range(NUM_RANDOM)
  }
  dead = {Unit(DEAD_LAYER, unit): DEAD for unit in range(NUM_DEAD)}
  runs = [
    job.describe_regions("negatives", store, truths=truths),
    job.describe_shown("dead", model=MODEL, images=photographs, truths=dead),
  ]
  shuffled = ", ".join(dict.fromkeys(StoredExemplars(store).info["shuffled"]))
  return Outcome(tuple(runs), notes=(f"The shuffled layers are from {shuffled}.",))


def _write(job: Job, photographs: pathlib.Path, store: pathlib.Path) -> None:
  layers = _layers(job)
  if not layers:
    stem.run(job)
    layers = _layers(job)
  rng = np.random.default_rng([job.seed, 11])
  info = {"seed": job.seed, "shuffled": [_test_of(path) for path, _ in layers]}
  with RegionSetWriter(store, LAYER, K, SIZE, info=info) as writer:
    for unit in range(NUM_SHUFFLED):
      _add_shuffled(writer, unit, layers, rng)
    source = squares(photographs)
    for unit in range(NUM_RANDOM):
      add_random(writer, NUM_SHUFFLED + unit, source, rng)


def squares(photographs: pathlib.Path) -> FolderImages:
  """Opens a folder of photographs, cut to the size of the regions' images."""
  return FolderImages(photographs, Geometry(256, SIZE, fitting="resize-crop"))


def _layers(job: Job) -> list[tuple[pathlib.Path, str]]:
  """Lists the layers of other tests and of the corpus that have a live unit."""
  stores = [collected_in(job.workdir / name) / EXEMPLARS for name in _SOURCES]
  if job.corpus is not None:
    stores.append(job.corpus)
  return [
    (store, layer)
    for store in stores
    if store.exists()
    for layer in open_exemplars(store).layers
    if not open_exemplars(store).exemplars(layer).dead.all()
  ]


def _test_of(store: pathlib.Path) -> str:
  """Returns the name of the test that collected a store, or the corpus's folder."""
  names = {collected_in(pathlib.Path(name)).name: name for name in _SOURCES}
  return names.get(store.parent.name, store.parent.name)


def _add_shuffled(
  writer: RegionSetWriter,
  unit: int,
  layers: Sequence[tuple[pathlib.Path, str]],
  rng: np.random.Generator,
) -> None:
  """Adds a unit with a region of each layer in turn, on different images.

  Regions of one layer would often have something in common: edges in an early layer,
  animals in a late one.
  """
  known = [(store, layer, open_exemplars(store)) for store, layer in layers]
  order = rng.permutation(len(known)).tolist()
  rows, masks, used = [], [], set()
  for turn in range(MOST_DRAWS):
    store, layer, exemplars = known[order[turn % len(order)]]
    found = exemplars.exemplars(layer)
    lender = int(rng.choice(np.flatnonzero(~found.dead)))
    slot = int(rng.integers(found.num_regions[lender]))
    image = found.image_rows[lender, slot : slot + 1]
    (name,) = exemplars.image_names(image)
    if name in used or (store, layer, lender) in used:
      continue
    used |= {name, (store, layer, lender)}
    pixels = exemplars.images(image)[0]
    key = f"{store.parent.name}/{store.name}:{int(image[0])}"
    rows.append(writer.image(key, pixels))
    masks.append(exemplars.masks(layer, np.array([lender]), np.array([slot]))[0])
    if len(rows) == K:
      break
  while len(rows) < K:  # repeat the last region if there are fewer than K
    rows.append(rows[-1])
    masks.append(masks[-1])
  writer.add(unit, rows, np.stack(masks))


def add_random(
  writer: RegionSetWriter, unit: int, source: FolderImages, rng: np.random.Generator
) -> None:
  """Adds a unit with smooth masks at random places of random photographs.

  Args:
    writer: the set that is written.
    unit: number of the unit in it.
    source: the photographs; those that cannot be read are passed over.
    rng: random generator.
  """
  rows: list[int] = []
  masks: list[np.ndarray] = []
  while len(rows) < K:
    index = int(rng.integers(len(source)))
    try:
      pixels = source.load(index)
    except UnreadableImageError:
      continue
    rows.append(writer.image(f"photograph:{source.name(index)}", pixels))
    masks.append(_random_mask(rng))
  writer.add(unit, rows, np.stack(masks))


def _random_mask(rng: np.random.Generator) -> Bool[np.ndarray, "size size"]:
  """Draws a mask: the maxima of smooth noise, 3 to 20 % of the image."""
  side = int(rng.integers(4, 12))
  noise = Image.fromarray(rng.standard_normal((side, side)).astype(np.float32))
  smooth = np.asarray(noise.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
  mask: np.ndarray = smooth > np.quantile(smooth, 1 - rng.uniform(0.03, 0.2))
  return mask
