"""The photographic stamps of Tux Paint: everyday things, cut out."""

from milan_jax._src.lab.corpus.sources.packages import Package
from milan_jax._src.lab.corpus.sources.picture import Picture, named, none_found
from milan_jax._src.lab.corpus.sources.picture_names import picture_names, present

PACKAGE = "tuxpaint-stamps-default"
FOLDER = "usr/share/tuxpaint/stamps"


def stamp_pictures(package: Package) -> list[Picture]:
  """Lists the stamps that are photographs with a plain name, sorted by key.

  Stamps that this version of the package lacks are left out.

  Raises:
    UserError: if the package has none of them.
  """
  folder = package.folder / FOLDER
  names = picture_names("stamp")
  paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
  pictures = [
    named(package.name, path, "cutout", name, (folder / path).read_bytes)
    for path, name in present(names, paths)
  ]
  if not pictures:
    expected = f"{FOLDER}/{min(names)} and others"
    raise none_found(package.name, str(package.folder), expected)
  return pictures
