"""Matches the units of annotations, exemplars and a split."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from milan_jax._src.errors import UserError
from milan_jax._src.records import Unit
from milan_jax._src.training import splitting as splits

# Maximum number of units or layers that a message lists.
_NAMED = 5
Say = Callable[[str], None]


def keep_matched(
  annotations: Mapping[Unit, Sequence[str]],
  known: Collection[Unit],
  *,
  what: str,
  say: Say,
) -> dict[Unit, Sequence[str]]:
  """Leaves out annotations of unknown units and reports them.

  Args:
    annotations: descriptions of units.
    known: the known units.
    what: the data of the known units, such as exemplars.
    say: called with a line for the user.

  Raises:
    UserError: if more than half of the annotated units are unknown.
  """
  lost = [unit for unit in annotations if unit not in known]
  if not lost:
    return dict(annotations)
  rows = sum(len(annotations[unit]) for unit in lost)
  total = sum(map(len, annotations.values()))
  found = (
    f"{rows} of {total} annotations, of {len(lost)} of {len(annotations)} units, match "
    f"no {what}: {name_units(lost)}"
  )
  sides = (
    f"annotations are of {_name_layers(annotations)}; {what} are of "
    f"{_name_layers(known)}"
  )
  if 2 * len(lost) > len(annotations):
    raise UserError(
      f"{found}. That is most of them ({sides}): give the annotations of these {what}, "
      "with the same layer names, or remove the rows of other units."
    )
  say(f"{found}; they are ignored ({sides})")
  return {unit: said for unit, said in annotations.items() if unit in known}


def split_rows(
  units: Sequence[Unit],
  parts: Mapping[Unit, str] | None,
  *,
  validation_fraction: float,
  test_fraction: float,
  seed: int,
  say: Say,
  name: str = "the split",
) -> splits.Split:
  """Returns the rows of the units in each split, from a given or a random split.

  Args:
    units: the annotated units, in order.
    parts: the split of each unit; None splits at random. Entries of other units are
      reported and ignored.
    validation_fraction: fraction of validation units in a random split.
    test_fraction: fraction of test units in a random split.
    seed: seeds a random split.
    say: called with a line for the user.
    name: name of the given split for messages, such as its file.

  Raises:
    UserError: if a unit has no split, or a split is empty or has an unknown name.
  """
  if parts is None:
    return splits.split_units(
      len(units),
      validation_fraction=validation_fraction,
      test_fraction=test_fraction,
      seed=seed,
    )
  known = set(units)
  without = [unit for unit in units if unit not in parts]
  unmatched = [unit for unit in parts if unit not in known]
  if without:
    raise UserError(
      f"{name} has no row for {len(without)} of {len(units)} annotated units: "
      f"{name_units(without)} (its units are of {_name_layers(parts)}): add them, or "
      "remove their annotations"
    )
  if unmatched:
    say(
      f"{len(unmatched)} of {len(parts)} units of {name} are not annotated, or have no "
      f"exemplars, and are ignored: {name_units(unmatched)}"
    )
  return splits.given_split([parts[unit] for unit in units])


def name_units(units: Sequence[Unit]) -> str:
  """Lists the first units: `layer 3, layer 7 and 12 more`."""
  named = ", ".join(f"{unit.layer} {unit.index}" for unit in units[:_NAMED])
  more = len(units) - _NAMED
  return f"{named} and {more} more" if more > 0 else named


def _name_layers(units: Iterable[Unit]) -> str:
  """Lists layers with their smallest and largest unit: `layer4 (0 to 63)`."""
  indices: dict[str, list[int]] = {}
  for unit in units:
    indices.setdefault(unit.layer, []).append(unit.index)
  named = [f"{name} ({min(i)} to {max(i)})" for name, i in list(indices.items())]
  more = len(named) - _NAMED
  return ", ".join(named[:_NAMED]) + (f" and {more} more" if more > 0 else "")
