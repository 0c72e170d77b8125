"""Materials and parts of buildings, from the textures of two games."""

import functools
import pathlib
import zipfile

from milan_jax._src.errors import UserError
from milan_jax._src.lab.corpus.sources.packages import Package
from milan_jax._src.lab.corpus.sources.picture import Picture, named, none_found
from milan_jax._src.lab.corpus.sources.picture_names import picture_names, present

KART_PACKAGE = "supertuxkart-data"
UFO_PACKAGE = "ufoai-textures"
PACKAGES = (KART_PACKAGE, UFO_PACKAGE)
KART_FOLDER = "usr/share/games/supertuxkart/data"
UFO_ARCHIVE = "usr/share/games/ufoai/base/0textures.pk3"
UFO_PREFIX = "textures/tex_"


def texture_pictures(package: Package) -> list[Picture]:
  """Lists the textures of a package that show a plain material, sorted by key.

  Near copies (recolored, with added dirt, cropped) share one group. Textures that this
  version of the package lacks are left out.

  Raises:
    UserError: if the package has none of them, or its archive is damaged.
    ValueError: if the package is not one of `PACKAGES`.
  """
  if package.name == KART_PACKAGE:
    return _kart_textures(package)
  if package.name == UFO_PACKAGE:
    return _ufo_textures(package)
  raise ValueError(f"expected one of {PACKAGES}, found {package.name}")


def _kart_textures(package: Package) -> list[Picture]:
  folder = package.folder / KART_FOLDER
  names = picture_names("kart_texture")
  paths = (path for path in names if (folder / path).is_file())
  pictures = [
    named(package.name, path, "texture", name, (folder / path).read_bytes)
    for path, name in present(names, paths)
  ]
  if not pictures:
    expected = f"{KART_FOLDER}/{min(names)} and others"
    raise none_found(package.name, str(package.folder), expected)
  return pictures


def _ufo_textures(package: Package) -> list[Picture]:
  archive = package.folder / UFO_ARCHIVE
  names = picture_names("ufo_texture")
  try:
    with zipfile.ZipFile(archive) as file:
      members = file.namelist()
  except FileNotFoundError as error:
    raise none_found(package.name, str(package.folder), UFO_ARCHIVE) from error
  except (OSError, zipfile.BadZipFile) as error:
    raise _damaged(archive, error) from error
  paths = (name.removeprefix(UFO_PREFIX) for name in members)
  pictures = [
    named(
      package.name,
      path,
      "texture",
      name,
      functools.partial(_member, archive, UFO_PREFIX + path),
    )
    for path, name in present(names, paths)
  ]
  if not pictures:
    expected = f"{UFO_PREFIX}{min(names)} in {UFO_ARCHIVE}"
    raise none_found(package.name, str(package.folder), expected)
  return pictures


def _member(archive: pathlib.Path, name: str) -> bytes:
  try:
    with zipfile.ZipFile(archive) as file:
      return file.read(name)
  except (OSError, KeyError, zipfile.BadZipFile) as error:
    raise _damaged(archive, error) from error


def _damaged(archive: pathlib.Path, error: Exception) -> UserError:
  return UserError(
    f"{archive} cannot be read ({error}): remove the package's folder and run the same "
    "command again."
  )
