"""The seeded split of units into training, validation and test."""

import collections
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from milan_jax._src.errors import UserError

PARTS = ("train", "validation", "test")


class Split(NamedTuple):
  """Rows of the units of each part, ascending. No unit is in two parts."""

  training: Int[np.ndarray, "training"]
  validation: Int[np.ndarray, "validation"]
  test: Int[np.ndarray, "test"]


def given_split(parts: Sequence[str]) -> Split:
  """Takes a split as it is given, one name of `PARTS` per unit.

  A corpus whose units share images splits the images, and then its units by them.

  Args:
    parts: the part of each unit.

  Raises:
    UserError: if a name is not a part's, or a part would be empty.
  """
  rows = [np.flatnonzero([part == name for part in parts]) for name in PARTS]
  if sum(map(len, rows)) != len(parts) or not all(map(len, rows)):
    counts = collections.Counter(parts)
    raise UserError(
      f"the split names each unit one of {', '.join(PARTS)}, none of them empty, but "
      f"got {', '.join(f'{number} {name!r}' for name, number in counts.items())}"
    )
  return Split(*rows)


def split_units(
  num_units: int,
  *,
  validation_fraction: float = 0.1,
  test_fraction: float = 0.1,
  seed: int = 0,
) -> Split:
  """Splits units at random, so that all captions of a unit are in one part.

  Training stops by the validation part and is reported on the test part. The original
  does both on one part, which flatters it.

  Args:
    num_units: number of units.
    validation_fraction: share of the units to stop by; at least one unit.
    test_fraction: share of the units to report on; at least one unit.
    seed: decides the split, with the number of units and the fractions.

  Raises:
    UserError: if a part would be empty.
  """
  for name, fraction in (
    ("validation_fraction", validation_fraction),
    ("test_fraction", test_fraction),
  ):
    if not 0 < fraction < 1:
      raise UserError(f"{name} lies between 0 and 1, but got {fraction}")
  num_validation = max(1, round(num_units * validation_fraction))
  num_test = max(1, round(num_units * test_fraction))
  if num_validation + num_test >= num_units:
    raise UserError(
      f"{num_units} annotated units leave none to train on after {num_validation} for "
      f"validation and {num_test} for test: annotate more, or lower the fractions"
    )
  order = np.random.default_rng(seed).permutation(num_units)
  validation, test, training = np.split(
    order, [num_validation, num_validation + num_test]
  )
  return Split(np.sort(training), np.sort(validation), np.sort(test))
