"""Lists all scenes that a corpus can use, from its photographs and pictures."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from milan_jax._src.images.source import ImageSource
from milan_jax._src.lab.corpus import composed_scenes, photo_scenes, views
from milan_jax._src.lab.corpus.composed_scenes import Load
from milan_jax._src.lab.corpus.scenes import SIDE, Scene
from milan_jax._src.lab.corpus.sources.picture import Picture
from milan_jax._src.lab.corpus.survey import Survey
from milan_jax._src.lab.corpus.views import View

PHOTO_VIEWS = 4
CUTOUT_SCENES = 4
WHOLE_SCENES = 3
TEXTURE_SCENES = 2
TEXT_SCENES = {"train": 220, "validation": 40, "test": 100}


def all_scenes(
  photographs: ImageSource,
  found: Survey,
  pictures: Sequence[Picture],
  picture_splits: Mapping[str, str],
  *,
  seed: int,
) -> list[Scene]:
  """Lists the scenes without rendering them.

  Args:
    photographs: the source of photographs.
    found: the results of the first pass over the photographs.
    pictures: cut-outs, textures and named photographs; may be empty.
    picture_splits: the split of each picture's group.
    seed: seeds every random draw.
  """
  scenes = photo_scenes.photo_scenes(
    photographs, found.digest_of(), found.splits, number=PHOTO_VIEWS, seed=seed
  )
  if not pictures:
    return scenes
  kinds: dict[str, list[Picture]] = {"cutout": [], "photograph": [], "texture": []}
  for picture in pictures:
    kinds[picture.kind].append(picture)
  backdrops: dict[str, list[Load]] = {}
  for number, split in sorted(found.splits.items()):
    load = functools.partial(_whole, photographs, number)
    backdrops.setdefault(split, []).append(load)
  for picture in kinds["texture"]:
    split = picture_splits[picture.group]
    backdrops.setdefault(split, []).append(picture.load)
  return [
    *scenes,
    *composed_scenes.cutout_scenes(
      kinds["cutout"], picture_splits, backdrops, number=CUTOUT_SCENES, seed=seed
    ),
    *composed_scenes.whole_scenes(
      kinds["photograph"], picture_splits, number=WHOLE_SCENES, seed=seed
    ),
    *composed_scenes.texture_scenes(
      kinds["texture"], picture_splits, backdrops, number=TEXTURE_SCENES, seed=seed
    ),
    *composed_scenes.text_scenes(backdrops, number=TEXT_SCENES, seed=seed),
  ]


def _whole(photographs: ImageSource, number: int) -> UInt8[np.ndarray, "224 224 3"]:
  return views.seen(photographs.load(number), View(number), SIDE)
