"""Leaves captions out that a captioner should not learn."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from milan_jax._src.errors import UserError
from milan_jax._src.records import Unit
from milan_jax._src.text.persons import judgments


class PermittedCaptions(NamedTuple):
  """Annotations without the captions that give persons a color or judge them.

  Attributes:
    captions: those of each unit that has any left.
    left_out: number of captions left out.
    example: the words for which the first was left out; empty if none was.
  """

  captions: Mapping[Unit, Sequence[str]]
  left_out: int
  example: str


def permitted_captions(described: Mapping[Unit, Sequence[str]]) -> PermittedCaptions:
  """Leaves out the captions that give persons a color or judge them.

  Raises:
    UserError: if none is left.
  """
  kept: dict[Unit, list[str]] = {}
  found: list[str] = []
  for unit, captions in described.items():
    for caption in captions:
      if words := judgments(caption):
        found.append(words[0])
      else:
        kept.setdefault(unit, []).append(caption)
  if not kept:
    raise UserError(
      "annotations: expected descriptions of what units see; found only such as give "
      f"persons a color or judge them ({found[0]!r}): describe the units otherwise."
    )
  return PermittedCaptions(kept, len(found), found[0] if found else "")
