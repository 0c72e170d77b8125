"""`milan-corpus`: builds annotated regions from photographs and packages."""

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
from milan_jax._src.options.lab import CorpusOptions
from milan_jax._src.runs.locks import hold
from milan_jax._src.runs.progress import bar, say

GEOMETRY = Geometry(
  resize=256, crop=224, interpolation="bicubic", fitting="resize-crop"
)
PACKAGES = (stamps.PACKAGE, named_photographs.PACKAGE, *textures.PACKAGES)
NO_PACKAGES = "none"


def build(options: CorpusOptions) -> pathlib.Path:
  """Builds a corpus.

  Args:
    options: all options of the command.

  Returns:
    The folder to pass to `milan-train --exemplars`.

  Raises:
    UserError: if no folder of photographs is given, it holds too few, or a package
      cannot be fetched.
  """
  if not options.images:
    raise UserError("--images: give a folder of photographs; a few hundred are enough.")
  source = FolderImages(options.images, GEOMETRY)
  with contextlib.ExitStack() as stack:
    stack.enter_context(hold(options.workdir, beside=True))
    shown: dict[str, Callable[[int, int], None]] = {}

    def progress(stage: str, done: int, total: int) -> None:
      if stage not in shown:
        shown[stage] = stack.enter_context(bar(stage, "steps"))
      shown[stage](done, total)

    fetched: Mapping[str, Package] = {}
    if options.packages != NO_PACKAGES:
      fetched = fetch_packages(PACKAGES, options.packages, progress=_say_step)
    manifest = build_corpus(
      source,
      options.workdir,
      num_units=options.num_units,
      seed=options.seed,
      pictures=find_pictures(fetched),
      packages=[
        {
          "name": package.name,
          "version": package.version,
          "sha256": package.sha256,
          "licence": package.license,
        }
        for package in fetched.values()
      ],
      progress=progress,
    )
  concepts = {unit["concept"] for unit in manifest["units"]}
  say(
    f"{options.workdir}: a corpus of {len(manifest['units'])} units, "
    f"{len(concepts)} concepts; "
    f"train with milan-train --exemplars={options.workdir}"
  )
  return pathlib.Path(options.workdir)


def _say_step(text: str, done: int, total: int) -> None:
  if done < total:
    say(f"{text} ({done + 1} of {total})")


def find_pictures(packages: Mapping[str, Package]) -> list[Picture]:
  """Lists all pictures in the fetched packages."""
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
