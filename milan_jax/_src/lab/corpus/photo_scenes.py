"""Scenes of photographs whose regions were named.

`named_regions.json` holds the regions of 500 photographs, one for every second ImageNet
class: boxes and ellipses with nouns, drawn by a vision-language model for this project.
A photograph is identified by the digest of its pixels. The package contains no
photographs.
"""

import functools
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from milan_jax._src.images.source import ImageSource
from milan_jax._src.lab.corpus import things, views
from milan_jax._src.lab.corpus.scenes import SIDE, Rendered, Scene, Tags, soft_shape
from milan_jax._src.lab.corpus.views import View

# A crop keeps a region if at least this fraction of it is visible, and if the visible
# part has at least this size.
LEAST_PART = 0.6
LEAST_SIDE = 12.0
COLORS = frozenset(
  """
  red orange yellow green blue purple pink brown tan white gray black
  """.split()
)

Box = tuple[float, float, float, float]


class NamedRegion:
  """A region of a photograph with its tags."""

  def __init__(self, entry: Sequence[Any]):
    what, part, left, top, right, bottom, round_, colors, look = entry
    what = things.ALIASES.get(what, what)
    part = things.PART_ALIASES.get(part, part)
    self.box: Box = (float(left), float(top), float(right), float(bottom))
    self.round = bool(round_)
    known = tuple(c for c in colors.split(" and ") if c in COLORS)
    self.tags = Tags(what, part, known, look)


@functools.cache
def named_regions() -> Mapping[str, tuple[NamedRegion, ...]]:
  """Returns each photograph's regions, by the first 16 hex digits of its sha256."""
  path = importlib.resources.files("milan_jax._src.lab.corpus") / "named_regions.json"
  table = json.loads(path.read_text(encoding="utf-8"))
  return {
    digest: tuple(NamedRegion(entry) for entry in entries)
    for digest, entries in table.items()
  }


def seen_box(box: Box, view: View) -> Box | None:
  """Returns a box in the pixels of a view; None if too little of it is visible."""
  left, top, right, bottom = (
    (value / SIDE - start) / view.side * SIDE
    for value, start in zip(box, (view.left, view.top) * 2, strict=True)
  )
  if view.mirrored:
    left, right = SIDE - right, SIDE - left
  wide = min(right, SIDE) - max(left, 0.0)
  high = min(bottom, SIDE) - max(top, 0.0)
  if wide < LEAST_SIDE or high < LEAST_SIDE:
    return None
  if wide * high < LEAST_PART * (right - left) * (bottom - top):
    return None
  return left, top, right, bottom


def photo_scenes(
  photographs: ImageSource,
  digests: Mapping[int, str],
  splits: Mapping[int, str],
  *,
  number: int,
  seed: int,
) -> list[Scene]:
  """Lists views of the photographs that have named regions, the whole one first.

  Args:
    photographs: the source.
    digests: sha256 of the pixels of each readable photograph.
    splits: the split of each photograph.
    number: number of views per photograph.
    seed: seeds the crops.
  """
  known = named_regions()
  scenes = []
  for index, digest in sorted(digests.items()):
    regions = known.get(digest[:16], ())
    for view in views.views_of(index, number, seed) if regions else ():
      kept = [(r, box) for r in regions if (box := seen_box(r.box, view))]
      if not kept:
        continue
      scenes.append(
        Scene(
          key=views.view_name(photographs, view),
          split=splits[index],
          group=f"photograph {digest[:16]}",
          tags=tuple(region.tags for region, _ in kept),
          render=functools.partial(
            _render, photographs, view, tuple((r.round, box) for r, box in kept)
          ),
        )
      )
  return scenes


def _render(
  photographs: ImageSource, view: View, boxes: tuple[tuple[bool, Box], ...]
) -> Rendered:
  image: UInt8[np.ndarray, "224 224 3"] = views.seen(
    photographs.load(view.photograph), view, SIDE
  )
  maps = [soft_shape(box, round_=round_) for round_, box in boxes]
  return Rendered(image, np.stack(maps))
