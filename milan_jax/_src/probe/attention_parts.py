"""Filters out arrays inside attention, which have four axes but are not maps."""

import fnmatch
from collections.abc import Collection, Mapping


def without_attention(
  arrays: Mapping[str, tuple[int, ...]], batch: int, *, given: Collection[str] = ()
) -> dict[str, tuple[int, ...]]:
  """Removes arrays that are split over heads, and attention weights.

  An array of four axes is not a map if one of its axes has the number of tokens of an
  earlier array, as in `(batch, heads, tokens, ...)` and `(batch, tokens, heads, ...)`,
  unless the other two axes are equal.

  Args:
    arrays: shapes by layer, in the model's order.
    batch: number of images in the batch.
    given: names and globs of layers to keep, because their layouts are known.
  """
  kept, tokens = {}, 0
  for name, shape in arrays.items():
    if len(shape) == 3 and shape[0] == batch:
      tokens = shape[1]
    known = name in given or any(fnmatch.fnmatchcase(name, glob) for glob in given)
    if known or not _is_split(shape, tokens):
      kept[name] = shape
  return kept


def _is_split(shape: tuple[int, ...], tokens: int) -> bool:
  if len(shape) != 4 or tokens < 2:
    return False
  _, first, second, third = shape
  return (
    second == tokens
    or (first == tokens and second != third)
    or (third == tokens and first != second)
  )
