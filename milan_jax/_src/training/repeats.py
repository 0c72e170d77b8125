"""How many times an epoch uses the captions of each set: `--repeat`."""

from collections.abc import Sequence

from milan_jax._src.errors import UserError
from milan_jax._src.records import Unit


def repeats_of(
  units: Sequence[Unit], text: str | None, sets: Sequence[str]
) -> dict[Unit, int]:
  """Returns how many times an epoch uses the captions of each unit.

  Args:
    units: the units.
    text: the option `--repeat`.
    sets: names of the joined sets; empty for a single set.

  Raises:
    UserError: if the option has other numbers than the sets.
  """
  times = _repeats(text, sets or [""])
  names = (unit.layer.partition(":")[0] if sets else "" for unit in units)
  return {unit: times[name] for unit, name in zip(units, names, strict=True)}


def _repeats(text: str | None, names: Sequence[str]) -> dict[str, int]:
  """Returns how many times an epoch uses each set's captions, by its name.

  The name of a single set is "": its name is not in the names of its layers.
  """
  words = ["1"] if text is None else text.split(",")
  if len(words) == 1:
    words *= len(names)
  times = [int(word) if word.strip().isdecimal() else 0 for word in words]
  if len(times) != len(names) or not all(1 <= each <= 1000 for each in times):
    raise UserError(
      f"--repeat={text}: expected whole numbers from 1 to 1000, one for all "
      f"directories of --exemplars or {len(names)}, one for each."
    )
  return dict(zip(names, times, strict=True))
