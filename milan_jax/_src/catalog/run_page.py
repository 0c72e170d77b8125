"""The page of a run, with every unit's regions and description."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.catalog.distributions import unit_distribution
from milan_jax._src.catalog.page import Network, PageInfo, PageUnit, write_site
from milan_jax._src.catalog.pictures import Regions
from milan_jax._src.errors import UserError
from milan_jax._src.files.names import shown
from milan_jax._src.images.demo import PHOTOGRAPHS
from milan_jax._src.records import (
  Description,
  DistributedExemplars,
  ExemplarSet,
  GroupedExemplars,
  LayerDistribution,
  LayerExemplars,
  MappedExemplars,
  Unit,
)
from milan_jax._src.runs.workdir import EXEMPLARS, read_run
from milan_jax._src.store.exemplar_sets import set_name
from milan_jax._src.store.feature_store import FeatureStore

_DEMO_NOTES = (
  f"These units were shown only the {len(PHOTOGRAPHS)} photographs that come with "
  "milan-jax, cut into many crops at several scales. That is enough to try the "
  "program, but far too few to learn about a network.",
  "Use your own: `python describe.py --images FOLDER --workdir runs/mine`.",
)
_STARTER_NOTE = (
  "The shipped captioner knows colors, edges, textures and materials, and several "
  "hundred kinds of things and their parts, from a few hundred photographs and "
  "cut-outs. Less certain descriptions are marked, and if the confidence is too low, "
  "the description is “No clear pattern”."
)


# Runs of exemplars of runs of exemplars: where a circle of them is no longer followed.
_LONGEST_CHAIN = 8


@dataclasses.dataclass(frozen=True, slots=True)
class RunFacts:
  """The facts at the top of a run's page.

  Attributes:
    network: the described network, as given by the user.
    images: the images, as given by the user; empty if exemplars were given.
    captioner: the name of the captioner.
    weights: where the network's weights come from; empty if unknown.
    demo: whether it was shown the packaged photographs.
    parity: whether all exemplars are shown, including those on which the unit does not
      fire.
    source: identifies the regions: if it changes, their pictures are drawn again.
  """

  network: str
  images: str
  captioner: str
  weights: str = ""
  demo: bool = False
  parity: bool = False
  source: str = ""


def write_run_page(
  folder: pathlib.Path,
  found: ExemplarSet,
  descriptions: Iterable[Description],
  facts: RunFacts,
  features: FeatureStore | None = None,
) -> pathlib.Path:
  """Writes the catalog of a run into its directory.

  Args:
    folder: the run directory.
    found: the exemplars of the units.
    descriptions: one per unit.
    facts: of the run.
    features: features of the units' regions, by which units are compared; None if they
      are not known.

  Returns:
    The path of the page.
  """
  network = run_network(found, descriptions, facts, features)
  return write_site(folder, network.info.title, [network])


def run_network(
  found: ExemplarSet,
  descriptions: Iterable[Description],
  facts: RunFacts,
  features: FeatureStore | None = None,
  *,
  key: str = "",
) -> Network:
  """Returns the units of a run for a catalog: `write_run_page` with these arguments."""
  notes = (*_DEMO_NOTES,) if facts.demo else ()
  if facts.captioner == "starter":
    notes = (*notes, _STARTER_NOTE)
  network, images = shown(facts.network), shown(facts.images)
  name = shown(_network_name(facts.network))
  info = PageInfo(
    title=f"What the units of {name} respond to",
    architecture=name,
    dataset=images or "exemplars",
    facts={
      "Network": network,
      **({"Weights": facts.weights} if facts.weights else {}),
      "Images": f"{found.num_images} distinct ones shown, from "
      f"{images or 'the exemplars given'}",
      **({"Captioner": shown(facts.captioner)} if facts.captioner else {}),
    },
    notes=notes,
  )
  read = _Exemplars(found, all_regions=facts.parity, features=features)
  units = (read.page_unit(entry) for entry in descriptions)
  return Network(info, found.layers, units, facts.source, key)


def _network_name(given: str) -> str:
  """The short name of a network; for exemplars of a run, of the run's own network."""
  path = pathlib.Path(given)
  for _ in range(_LONGEST_CHAIN):
    if path.name != EXEMPLARS:
      break
    config = _config(path.parent)
    if not config.get("exemplars"):
      return pathlib.PurePath(config.get("model") or set_name(path)).name
    path = pathlib.Path(str(config["exemplars"]))
  return path.name


def _config(folder: pathlib.Path) -> Mapping[str, Any]:
  """The options of a run; none where there is no run."""
  try:
    known = read_run(folder)
  except UserError:
    return {}
  config: Mapping[str, Any] = known["config"] if known else {}
  return config


class _Exemplars:
  """What a catalog shows of a run's exemplars.

  Args:
    found: the exemplars.
    all_regions: whether all are shown, including those on which a unit does not fire.
    features: as for `write_run_page`.
  """

  def __init__(
    self, found: ExemplarSet, *, all_regions: bool, features: FeatureStore | None
  ):
    self._found = found
    self._all_regions = all_regions
    self._rows = {
      layer: {
        unit: row for row, unit in enumerate(found.exemplars(layer).signed_units())
      }
      for layer in found.layers
    }
    self._distributions: dict[str, LayerDistribution | None] = {}
    if isinstance(found, DistributedExemplars):
      self._distributions = {name: found.distribution(name) for name in found.layers}
    self._features = features
    units = features.units(0, len(features)) if features else ()
    self._feature_rows = {unit: row for row, (unit, _) in enumerate(units)}

  def page_unit(self, entry: Description) -> PageUnit:
    """Returns a unit with its description and its regions."""
    layer, row = entry.unit.layer, self._rows[entry.unit.layer][entry.unit]
    known = self._found.exemplars(layer)
    images = self._image_rows(known, row)
    activations = () if known.activations is None else known.activations[row]
    regions = functools.partial(_regions, self._found, layer, row, images)
    return PageUnit(
      unit=entry.unit,
      description=entry.text,
      regions=regions,
      scores={
        "score": entry.score,
        "log p(text | regions)": entry.log_prob,
        "log p(text)": entry.lm_log_prob,
      },
      dead=entry.dead,
      confidence=entry.confidence,
      guess=entry.guess or "",
      fires=None if entry.fires is None else (entry.fires, entry.images or 0),
      photographs=_photographs(self._found, images),
      activations=[float(value) for value in activations[: len(images)]],
      threshold=None if known.thresholds is None else float(known.thresholds[row]),
      names=self._shown_names(images),
      maps=functools.partial(_maps, self._found, layer, row, len(images)),
      image_shape=self._image_shape,
      features=self._mean_features(entry.unit, len(images)),
      hypotheses=entry.hypotheses,
      distribution=unit_distribution(
        self._found, self._distributions.get(layer), row, self._shown_names
      ),
    )

  @functools.cached_property
  def _image_shape(self) -> tuple[int, int]:
    """Height and width of the images, which is the same for all."""
    height, width = self._found.images(np.zeros(1, np.int64)).shape[1:3]
    return height, width

  def _shown_names(self, images: Int[np.ndarray, "n"]) -> list[str]:
    names = _names(self._found, images)
    return [shown(pathlib.PurePath(name).name) for name in names]

  def _image_rows(self, known: LayerExemplars, row: int) -> Int[np.ndarray, "regions"]:
    """Images of the regions of a unit that count, which come first, or of all."""
    count = None if self._all_regions else int(known.num_regions[row])
    rows: np.ndarray = known.image_rows[row, :count]
    return rows

  def _mean_features(
    self, unit: Unit, count: int
  ) -> Callable[[], Float[np.ndarray, "features"]] | None:
    if self._features is None or unit not in self._feature_rows:
      return None
    store, row = self._features, self._feature_rows[unit]
    return lambda: store.read_rows(np.array([row]))[0, :count].mean(axis=0)


def _names(found: ExemplarSet, images: Int[np.ndarray, "regions"]) -> list[str]:
  named = found.image_names(images) if isinstance(found, MappedExemplars) else None
  return named or []


def _photographs(found: ExemplarSet, images: Int[np.ndarray, "regions"]) -> int | None:
  """How many photographs the regions of a unit are from; None if no image is a crop."""
  if not isinstance(found, GroupedExemplars):
    return None
  groups = found.image_groups(images)
  return None if groups is None else len(np.unique(groups))


def _regions(
  found: ExemplarSet, layer: str, row: int, images: Int[np.ndarray, "regions"]
) -> Regions:
  slots = np.arange(len(images))
  return found.images(images), found.masks(layer, np.full_like(slots, row), slots)


def _maps(
  found: ExemplarSet, layer: str, row: int, count: int
) -> Float[np.ndarray, "regions height width"] | None:
  if not isinstance(found, MappedExemplars):
    return None
  slots = np.arange(count)
  return found.maps(layer, np.full_like(slots, row), slots)
