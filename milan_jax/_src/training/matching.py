"""What annotations, exemplars and a split say of each other's units."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from milan_jax._src.errors import UserError
from milan_jax._src.records import Unit
from milan_jax._src.training import splitting as splits

# Units, and layers, that a sentence names.
_NAMED = 5
Say = Callable[[str], None]


def keep_matched(
  annotations: Mapping[Unit, Sequence[str]],
  known: Collection[Unit],
  *,
  what: str,
  say: Say,
) -> dict[Unit, Sequence[str]]:
  """Leaves out annotations of unknown units, and says how many and which.

  Args:
    annotations: descriptions of units.
    known: the units that there are.
    what: what makes a unit known, such as exemplars.
    say: called with a line for people.

  Raises:
    UserError: if more than half of the annotated units are lost.
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
    f"annotated are units of {_name_layers(annotations)}; {what} are of "
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
  """The rows of the units of each part: as a split gives them, or at random.

  Args:
    units: the annotated units, in their order.
    parts: the part of each unit; None splits at random. Parts of other units are said
      and passed over.
    validation_fraction: of a random split.
    test_fraction: of a random split.
    seed: decides a random split.
    say: called with a line for people.
    name: of the split, for messages, such as its file.

  Raises:
    UserError: if a unit has no part, or a part would be empty or has no known name.
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
  """Names the first few units: `layer 3, layer 7 and 12 more`."""
  named = ", ".join(f"{unit.layer} {unit.index}" for unit in units[:_NAMED])
  more = len(units) - _NAMED
  return f"{named} and {more} more" if more > 0 else named


def _name_layers(units: Iterable[Unit]) -> str:
  """Names layers with the least and the greatest of their units: `layer4 (0 to 63)`."""
  indices: dict[str, list[int]] = {}
  for unit in units:
    indices.setdefault(unit.layer, []).append(unit.index)
  named = [f"{name} ({min(i)} to {max(i)})" for name, i in list(indices.items())]
  more = len(named) - _NAMED
  return ", ".join(named[:_NAMED]) + (f" and {more} more" if more > 0 else "")
