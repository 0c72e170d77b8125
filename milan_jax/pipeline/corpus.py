"""From photographs to annotated regions: `milan-corpus`."""

import contextlib
import pathlib
from collections.abc import Callable

from milan_jax.corpus.build import build_corpus
from milan_jax.errors import UserError
from milan_jax.images.folder import FolderImages
from milan_jax.images.geometry import Geometry
from milan_jax.pipeline.progress import bar, say

GEOMETRY = Geometry(resize=256, crop=224, interpolation="bicubic")


def build(*, workdir: str, images: str, num_units: int, seed: int) -> pathlib.Path:
  """Builds a corpus; see `milan_jax.config.Corpus` for every option.

  Returns:
    The folder, which `milan-train --exemplars` takes.

  Raises:
    UserError: if no folder of photographs is named, or it holds too few.
  """
  if not images:
    raise UserError("--images: name a folder of photographs; a few hundred are enough.")
  source = FolderImages(images, GEOMETRY)
  with contextlib.ExitStack() as bars:
    shown: dict[str, Callable[[int, int], None]] = {}

    def progress(stage: str, done: int, total: int) -> None:
      if stage not in shown:
        shown[stage] = bars.enter_context(bar(stage, "steps"))
      shown[stage](done, total)

    build_corpus(source, workdir, num_units=num_units, seed=seed, progress=progress)
  say(f"{workdir}: the corpus; train with milan-train --exemplars={workdir}")
  return pathlib.Path(workdir)
