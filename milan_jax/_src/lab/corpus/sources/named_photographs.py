"""The photographs of GCompris: animals, tools, buildings, planets."""

import functools

from milan_jax._src.lab.corpus.sources.packages import Package
from milan_jax._src.lab.corpus.sources.picture import (
  Picture,
  is_cutout,
  named,
  none_found,
)
from milan_jax._src.lab.corpus.sources.picture_names import picture_names, present
from milan_jax._src.lab.corpus.sources.qt_resources import QtResources

PACKAGE = "gcompris-qt-data"
FOLDER = "usr/share/gcompris-qt/rcc"
PREFIX = "gcompris/src/activities/"


def named_photographs(package: Package) -> list[Picture]:
  """Lists the photographs with a plain name, sorted by key.

  A photograph with a transparent background is a cut-out. Pictures that this version of
  the package lacks are left out.

  Raises:
    UserError: if the package has none of them, or an archive is damaged.
  """
  folder = package.folder / FOLDER
  table = picture_names("photograph")
  pictures = []
  for archive in sorted({path.split("/")[0] for path in table}):
    if not (folder / f"{archive}.rcc").exists():
      continue
    resources = QtResources(folder / f"{archive}.rcc")
    paths = (
      name.removeprefix(PREFIX)
      for name in resources.names()
      if name.startswith(f"{PREFIX}{archive}/")
    )
    for path, name in present(table, paths):
      read = functools.partial(resources.read, PREFIX + path)
      cut = is_cutout(read(), f"{package.name}:{path}")
      kind = "cutout" if cut else "photograph"
      pictures.append(named(package.name, path, kind, name, read))
  if not pictures:
    first = min(table).split("/")[0]
    expected = f"{FOLDER}/{first}.rcc and others"
    raise none_found(package.name, str(package.folder), expected)
  return sorted(pictures, key=lambda picture: picture.key)
