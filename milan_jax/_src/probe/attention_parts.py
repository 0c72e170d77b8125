"""Arrays inside attention, which have the look of maps and are none."""

import fnmatch
from collections.abc import Collection, Mapping


def without_attention(
  arrays: Mapping[str, tuple[int, ...]], batch: int, *, given: Collection[str] = ()
) -> dict[str, tuple[int, ...]]:
  """Leaves out what is split over heads, and the weights from each token to each.

  Four axes of which one is the tokens of the array before them are not a map, as in
  `(batch, heads, tokens, ...)` and `(batch, tokens, heads, ...)`, unless the other two
  are a square.

  Args:
    arrays: shapes by layer, in the model's order.
    batch: images that went in.
    given: names and globs of layers to keep, as their layouts are known.
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
