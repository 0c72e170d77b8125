"""Writes a catalog: a site with every unit's regions and description."""

import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from milan_jax._src.catalog import pictures
from milan_jax._src.catalog.distributions import UnitDistribution
from milan_jax._src.catalog.pictures import Regions
from milan_jax._src.catalog.site_data import SiteData
from milan_jax._src.catalog.site_page import FILES, copy_assets, site_page
from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_text
from milan_jax._src.records import Hypothesis, Unit

PAGE = "index.html"
DATA = "catalog.json"
IMAGES = "images"
SITE = "site"
_SOURCE = "source.txt"
# How pictures are drawn; a change draws all again.
_PICTURES = "sheets and covers 3"


@dataclasses.dataclass(frozen=True, slots=True)
class PageUnit:
  """One unit of a catalog.

  Attributes:
    unit: the unit.
    description: its description; not shown for a dead unit.
    scores: columns, such as `{"score": -3.2}`; None and NaN are shown as n/a.
    regions: returns its images and masks, best first; called only if the picture does
      not exist yet, so that writing a page again is fast.
    dead: whether the unit never varies.
    confidence: the probability that the description fits; None if unknown.
    guess: the description withheld for low confidence; empty if none was.
    fires: on how many of how many images the unit fires; None if that is not known.
    photographs: how many distinct photographs its regions are from, where images are
      crops of photographs; otherwise None.
    activations: its maximum on each image shown, in the model's units.
    threshold: what the activation exceeds in a region; None if unknown.
    names: the name of each image shown.
    maps: returns its activations on each image shown, or None if they are unknown.
    image_shape: height and width of its images, on which the maps are laid; None for
      square images.
    features: mean of its regions' features, by which units are compared; None if
      unknown.
    annotations: what people wrote.
    others: descriptions from elsewhere, by the name of their source.
    hypotheses: the best descriptions that the search found, best first.
    distribution: how its activations are distributed, with samples from over their
      range; None if unknown.
  """

  unit: Unit
  description: str
  regions: Callable[[], Regions]
  scores: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
  dead: bool = False
  confidence: float | None = None
  guess: str = ""
  fires: tuple[int, int] | None = None
  photographs: int | None = None
  activations: Sequence[float] = ()
  threshold: float | None = None
  names: Sequence[str] = ()
  maps: Callable[[], Float[np.ndarray, "k height width"] | None] | None = None
  image_shape: tuple[int, int] | None = None
  features: Callable[[], Float[np.ndarray, "features"]] | None = None
  annotations: Sequence[str] = ()
  others: Mapping[str, str] = dataclasses.field(default_factory=dict)
  hypotheses: Sequence[Hypothesis] = ()
  distribution: UnitDistribution | None = None

  @property
  def kind(self) -> str:
    """Whether a description is `said` or `withheld`, or the unit is `dead`."""
    return "dead" if self.dead else "withheld" if self.guess else "said"


@dataclasses.dataclass(frozen=True, slots=True)
class PageInfo:
  """The heading, facts and notes of a network.

  Attributes:
    title: the heading.
    architecture: the network's name.
    dataset: name of the images.
    facts: short lines, name and value: network, photographs, captioner, time, ...
    notes: paragraphs, such as a hint to use more photographs; text between backticks is
      formatted as code.
  """

  title: str
  architecture: str
  dataset: str
  facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
  notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
  """The described units of one network, or of one run.

  Attributes:
    info: its heading, facts and notes.
    layers: all layers, in the order in which they are shown.
    units: the units; within a layer they are shown in this order.
    source: identifies the regions, such as a digest of their inputs; pictures of
      another source are drawn again.
    key: its name in links and folders, which differs between the networks of a site;
      empty for the only one.
  """

  info: PageInfo
  layers: Sequence[str]
  units: Iterable[PageUnit]
  source: str
  key: str = ""


def write_page(
  folder: str | os.PathLike[str],
  units: Iterable[PageUnit],
  *,
  info: PageInfo,
  layers: Sequence[str],
  source: str,
) -> pathlib.Path:
  """Writes the catalog of one network: `write_site` with its arguments as `Network`."""
  return write_site(folder, info.title, [Network(info, layers, units, source)])


def write_site(
  folder: str | os.PathLike[str], title: str, networks: Sequence[Network]
) -> pathlib.Path:
  """Writes `index.html`, `catalog.json`, `site/` and two pictures per unit.

  Existing pictures are kept, so a killed run resumes. A picture that is damaged or
  belongs to another unit is drawn again. The page and the data are replaced at the end.
  The regions of a few units are in memory at a time, and of all units the numbers and
  descriptions that the site searches.

  Args:
    folder: the folder to write; created if missing, other files in it are kept.
    title: the heading.
    networks: the networks, in the order in which they are shown.

  Returns:
    The path of the page.

  Raises:
    UserError: if a unit's layer is not among its network's, a unit is listed twice, or
      the folder has a page or pictures that milan-jax did not write.
  """
  folder = pathlib.Path(folder)
  _check_ours(folder)
  _discard_stale(folder / IMAGES, networks)
  staging = folder / f".{SITE}.partial"
  shutil.rmtree(staging, ignore_errors=True)
  try:
    data = SiteData(staging / "data", title)
    for network in networks:
      _add_network(folder, data, network)
    facts = data.finish()
    copy_assets(staging)
    # The page and its data change together, as far as a folder can.
    shutil.rmtree(folder / SITE, ignore_errors=True)
    staging.rename(folder / SITE)
  except BaseException:
    shutil.rmtree(staging, ignore_errors=True)
    raise
  write_text(folder / DATA, data.table())
  write_text(folder / PAGE, site_page(facts))
  return folder / PAGE


def _add_network(folder: pathlib.Path, data: SiteData, network: Network) -> None:
  """Draws the pictures of a network's units and adds the units to the site's data."""
  data.begin(network)
  images = folder / IMAGES / network.key if network.key else folder / IMAGES
  with pictures.Drawing() as drawing:
    begun = collections.deque[
      tuple[PageUnit, str, list[concurrent.futures.Future[tuple[int, int]]]]
    ]()

    def add() -> None:
      shown, sheet, drawn = begun.popleft()
      size, *_ = [each.result() for each in drawn]
      data.add(shown, sheet, size)

    for shown in _checked(network):
      place = images / pictures.folder_name(shown.unit.layer)
      sheet = place / f"{pictures.unit_name(shown.unit)}{pictures.SHEET}"
      drawn = [drawing.begin(place, shown.unit, shown.regions)]
      if shown.distribution is not None and not shown.dead:
        samples = shown.distribution.regions
        drawn.append(drawing.begin(place, shown.unit, samples, samples=True))
      begun.append((shown, sheet.relative_to(folder).as_posix(), drawn))
      if len(begun) > drawing.ahead:
        add()
    while begun:
      add()


def _checked(network: Network) -> Iterator[PageUnit]:
  """Yields a network's units.

  Raises:
    UserError: if a unit is of no layer, or listed twice.
  """
  layers, seen = set(network.layers), set[Unit]()
  for shown in network.units:
    layer, index = shown.unit.layer, shown.unit.index
    if layer not in layers:
      raise UserError(
        f"Unit {index} is of layer {layer!r}, but the page shows the layers "
        f"{', '.join(network.layers)}: add that layer."
      )
    if shown.unit in seen:
      raise UserError(f"Unit {index} of layer {layer!r} is listed twice: list it once.")
    seen.add(shown.unit)
    yield shown


def page_is_whole(folder: str | os.PathLike[str]) -> bool:
  """Returns whether a folder has a page, its data and all of its pictures."""
  folder = pathlib.Path(folder)
  try:
    table = json.loads((folder / DATA).read_text(encoding="utf-8"))
    sheets = [name for unit in table["units"] for name in unit["images"]]
    sheets += [unit["samples"] for unit in table["units"] if "samples" in unit]
    inside = json.loads((folder / SITE / FILES).read_text(encoding="utf-8"))
    names = [PAGE, *(f"{SITE}/{name}" for name in inside), *sheets]
    names += [name.removesuffix(pictures.SHEET) + pictures.COVER for name in sheets]
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    return False
  return all((folder / name).is_file() for name in names)


def _check_ours(folder: pathlib.Path) -> None:
  """Raises UserError if the page would replace files that milan-jax did not write."""
  images = folder / IMAGES
  if (images / _SOURCE).is_file():
    return
  # Staging files, which a killed run may leave before it writes its mark, are hidden.
  inside = images.iterdir() if images.is_dir() else ()
  foreign = [path for path in inside if not path.name.startswith(".")]
  foreign += [path for name in (PAGE, DATA, SITE) if (path := folder / name).exists()]
  if foreign:
    raise UserError(
      f"{foreign[0]} was not written by milan-jax, and a page would replace it: choose "
      "another folder."
    )


def _discard_stale(images: pathlib.Path, networks: Sequence[Network]) -> None:
  """Deletes the pictures of other regions, and those of earlier versions."""
  source = "\n".join(
    f"{network.key} {network.source}" if network.key else network.source
    for network in networks
  )
  source = f"{_PICTURES}\n{source}"
  marker = images / _SOURCE
  if not marker.is_file() or marker.read_bytes() != source.encode():
    if images.is_dir():
      shutil.rmtree(images, ignore_errors=True)
    write_text(marker, source)
