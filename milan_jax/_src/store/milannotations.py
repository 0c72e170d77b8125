"""The annotated networks of MILANNOTATIONS, and the groups that the paper names.

A network is `MODEL/DATASET`; on disk it is this path in a root folder, in the
original's layout with `annotations.csv`. `MODEL-DATASET` is accepted as well.
"""

import os
import pathlib
from collections.abc import Mapping

from milan_jax._src.errors import UserError, did_you_mean
from milan_jax._src.files.cache import cache_folder

_BASE = tuple(
  f"{model}/{dataset}"
  for model in ("alexnet", "resnet152", "biggan")
  for dataset in ("imagenet", "places365")
)
NETWORKS = (*_BASE, "dino_vits8/imagenet")


def _groups() -> dict[str, tuple[str, ...]]:
  def of(*words: str) -> tuple[str, ...]:
    return tuple(each for each in _BASE if set(each.split("/")) & set(words))

  single = ("imagenet", "places365", "alexnet", "resnet152", "biggan")
  groups = {"base": _BASE, "cls": of("alexnet", "resnet152"), "gen": of("biggan")}
  groups |= {word: of(word) for word in single}
  for left_out in _BASE:
    others = tuple(each for each in _BASE if each != left_out)
    groups[f"not-{hyphenated(left_out)}"] = others
  return groups


def hyphenated(network: str) -> str:
  """Returns `MODEL-DATASET`, as in the names of archives and of joined layers."""
  return network.replace("/", "-")


# The networks of each group. DINO is in none: the paper only tests on it.
GROUPS: Mapping[str, tuple[str, ...]] = _groups()


def data_root(root: str | os.PathLike[str] | None = None) -> pathlib.Path:
  """Returns the folder of the networks: `root`, or a folder of the cache if None."""
  return pathlib.Path(root) if root else cache_folder() / "milannotations"


def _networks_by_name() -> dict[str, tuple[str, ...]]:
  single = {name: (name,) for name in NETWORKS}
  return {**single, **{hyphenated(name): (name,) for name in NETWORKS}, **GROUPS}


def has_names(data: str) -> bool:
  """Returns whether a list names a network or group for which there is no file."""
  words = {word.strip() for word in data.split(",")}
  named = words & _networks_by_name().keys()
  return any(not pathlib.Path(word).exists() for word in named)


def networks_named(
  data: str, *, root: str | os.PathLike[str] | None = None
) -> dict[pathlib.Path, str | None]:
  """Resolves names of networks and groups, and folders.

  Args:
    data: networks, groups or folders of annotated exemplars, comma-separated. A name
      precedes a folder of the same name, which is `./NAME`.
    root: the folder of the networks; a folder of the cache if None.

  Returns:
    The folders in order, each once, with the network's name (`MODEL/DATASET`), or None
    for a folder given by its path. The networks' folders need not exist.

  Raises:
    UserError: if a name is neither known nor a folder (the message suggests similar
      names), there is none, or a root is given and no network is named.
  """
  base, by_name = data_root(root), _networks_by_name()
  found: dict[pathlib.Path, str | None] = {}
  for word in filter(None, map(str.strip, data.split(","))):
    if word in by_name:
      found |= {base / name: name for name in by_name[word]}
    elif pathlib.Path(word).is_dir():
      found.setdefault(pathlib.Path(word), None)
    else:
      raise UserError(
        f"--data: {word!r} is neither a network, a group nor a folder."
        f"{did_you_mean(word, by_name)} Networks: {', '.join(NETWORKS)}. Groups: "
        f"{', '.join(GROUPS)}."
      )
  if not found:
    raise UserError(
      "--data: expected networks, groups or folders, comma-separated, such as base; "
      f"networks: {', '.join(NETWORKS)}; groups: {', '.join(GROUPS)}."
    )
  if root is not None and not any(found.values()):
    raise UserError(
      f"--data_root={os.fspath(root)}: it is where networks named in --data are, and "
      "only folders are given; leave it out."
    )
  return found
