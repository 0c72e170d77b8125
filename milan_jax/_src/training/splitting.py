"""Splits units into training, validation and test."""

import collections
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from milan_jax._src.errors import UserError

PARTS = ("train", "validation", "test")


class Split(NamedTuple):
  """The ascending rows of the units in each split; the splits are disjoint."""

  training: Int[np.ndarray, "training"]
  validation: Int[np.ndarray, "validation"]
  test: Int[np.ndarray, "test"]


def given_split(parts: Sequence[str]) -> Split:
  """Converts a given split, one name of `PARTS` per unit.

  A corpus whose units share images must be split by image.

  Args:
    parts: the name of each unit's split.

  Raises:
    UserError: if a name is unknown, or a split is empty.
  """
  rows = [np.flatnonzero([part == name for part in parts]) for name in PARTS]
  if sum(map(len, rows)) != len(parts) or not all(map(len, rows)):
    counts = collections.Counter(parts)
    raise UserError(
      f"expected a split of the units into {', '.join(PARTS)}, none of them empty, but "
      f"got {', '.join(f'{number} {name!r}' for name, number in counts.items())}"
    )
  return Split(*rows)


def check_fractions(validation_fraction: float, test_fraction: float) -> None:
  """Raises UserError if fractions of units leave a part of a split empty."""
  for name, fraction in (
    ("validation_fraction", validation_fraction),
    ("test_fraction", test_fraction),
  ):
    if not 0 < fraction < 1:
      raise UserError(f"--{name}: expected a number between 0 and 1; found {fraction}.")
  if not validation_fraction + test_fraction < 1:
    raise UserError(
      f"--validation_fraction={validation_fraction}, --test_fraction={test_fraction}: "
      "expected a sum below 1, so that some units are left for training."
    )


def split_units(
  num_units: int,
  *,
  validation_fraction: float = 0.1,
  test_fraction: float = 0.1,
  seed: int = 0,
) -> Split:
  """Splits units at random; all captions of a unit are in the same split.

  Early stopping uses the validation split and the report the test split. The original
  uses one split for both, which makes its results optimistic.

  Args:
    num_units: number of units.
    validation_fraction: fraction of validation units; at least one unit.
    test_fraction: fraction of test units; at least one unit.
    seed: seeds the split.

  Raises:
    UserError: if a split would be empty.
  """
  check_fractions(validation_fraction, test_fraction)
  num_validation = max(1, round(num_units * validation_fraction))
  num_test = max(1, round(num_units * test_fraction))
  if num_validation + num_test >= num_units:
    raise UserError(
      f"{num_units} annotated units leave none for training after {num_validation} for "
      f"validation and {num_test} for test: annotate more, or lower "
      "--validation_fraction or --test_fraction"
    )
  order = np.random.default_rng(seed).permutation(num_units)
  validation, test, training = np.split(
    order, [num_validation, num_validation + num_test]
  )
  return Split(np.sort(training), np.sort(validation), np.sort(test))
