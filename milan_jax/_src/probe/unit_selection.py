"""Parses the user's selections of layers and units."""

import fnmatch
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Int

from milan_jax._src.errors import UserError, did_you_mean
from milan_jax._src.files.plain_text import read_text, whole_number
from milan_jax._src.records import LayerShape


def select_layers(
  names: Sequence[str],
  selection: str,
  aliases: Mapping[str, str] | None = None,
  *,
  place: str = "",
  absence: Callable[[str], str] | None = None,
) -> tuple[str, ...]:
  """The layers selected by a comma-separated list of names, globs and indices.

  Layers are in the order of the list without repetition; the matches of a glob are in
  the model's order. `*` matches any characters, including dots. A number that is not a
  name in the model is an index in the model's order, from the end if negative. Names
  with commas need no escaping.

  Args:
    names: names of the model's layers.
    selection: the list, such as `features.0,blocks.*.bn2` or `0,-1`.
    aliases: other names of layers, which globs do not match.
    place: what has the layers, for messages, if it is not a model: its layers are few.
    absence: says why a name is not among the layers, if the model has something of this
      name; otherwise empty.

  Raises:
    UserError: if an item matches no layer; the message suggests similar names.
  """
  chosen: list[str] = []
  for item in _layer_items(selection, names):
    if item not in names:
      item = (aliases or {}).get(item, item)
    # The name of a layer is literal, even if it contains glob characters.
    matches = [item] if item in names else fnmatch.filter(names, item)
    why = absence(item) if absence and not matches else ""
    if why:  # also of a module that is called by a number, which is then no index
      raise UserError(why)
    if not matches and item.removeprefix("-").isdecimal():
      matches = [_at(names, int(item), place)]
    if not matches:
      raise UserError(_unknown_layer(names, item, place))
    chosen += [name for name in matches if name not in chosen]
  if not chosen:
    raise UserError(
      "No layer is selected: give names or globs, separated by commas. "
      f"{place or 'The model'} has {_first(names)}."
    )
  return tuple(chosen)


def _at(names: Sequence[str], index: int, place: str) -> str:
  if not -len(names) <= index < len(names):
    show = "" if place else " --list_layers shows them."
    raise UserError(
      f"There is no layer {index}: {place or 'the model'} has layers 0 to "
      f"{len(names) - 1}.{show}"
    )
  return names[index]


def _unknown_layer(names: Sequence[str], item: str, place: str) -> str:
  hint = did_you_mean(item, names)
  show = f"It has {_first(names)}." if place else "--list_layers shows all."
  return f"{place or 'The model'} has no layer {item!r}.{hint} {show}"


def _first(names: Sequence[str]) -> str:
  return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"


def describe_layers(
  shapes: Sequence[LayerShape],
  chosen: Sequence[str] | None = None,
  notes: Mapping[str, str] | None = None,
) -> str:
  """A table of layers, one per line: index, name, shape, layout, positions and units.

  Args:
    shapes: all layers of the model.
    chosen: names of the layers to show; None shows all.
    notes: remarks on some layers, by name, in the last column.

  Raises:
    UserError: if the model has no layers.
  """
  if not shapes:
    raise UserError(
      "The model has no layer that can be read as positions and units. Layers are a "
      "model's submodules: wrap a single layer, for example in torch.nn.Sequential; "
      "set the layout of other arrays with --layouts."
    )
  header = (
    "",
    "layer",
    "array",
    "read as",
    "positions",
    "units",
    "trial" if notes else "",
  )
  rows = [header] + [
    (
      str(index),
      shape.name,
      # The batch size of the trial run is not shown.
      " x ".join(map(str, shape.raw[1:])),
      shape.layout,
      f"{shape.height} x {shape.width}",
      str(shape.units),
      (notes or {}).get(shape.name, ""),
    )
    for index, shape in enumerate(shapes)
    if chosen is None or shape.name in chosen
  ]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  sides = (">", "<", ">", "<", ">", ">", "<")
  return "\n".join(
    "  ".join(
      f"{cell:{side}{width}}"
      for cell, side, width in zip(row, sides, widths, strict=True)
    ).rstrip()
    for row in rows
  )


def select_units(selection: str, num_units: int) -> Int[np.ndarray, "chosen"]:
  """The selected units, ascending, without repetition.

  Args:
    selection: items separated by commas: `7`, or `0:64` for the first 64, or `0:64:4`
      for every fourth of them, as Python slices; or the path of a file with one index
      per line. An empty selection or `all` means all units.
    num_units: number of units of the layer.

  Raises:
    UserError: if an item is malformed, or is a unit that the layer does not have.
  """
  if selection.strip() in ("", "all"):
    return np.arange(num_units)
  items, where = _items(selection), ""
  if not all(_is_number_or_slice(item) for item in items):
    path = pathlib.Path(selection)
    if not path.is_file():
      raise UserError(
        f"Units {selection!r}: expected indices and slices such as 3,5,9 or 0:64, or a "
        "file with one index per line; there is no such file."
      )
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    numbers = [whole_number(line) for line in lines]
    if None in numbers:
      raise UserError(
        f"{path}: expected one index per line, such as 17, found "
        f"{lines[numbers.index(None)][:80]!r}."
      )
    items, where = list(map(str, numbers)), f"{path}: "
  chosen: set[int] = set()
  for item in items:
    if item.isdecimal():
      if int(item) >= num_units:
        raise UserError(
          f"{where}There is no unit {item}: the layer has units 0 to {num_units - 1}."
        )
      chosen.add(int(item))
    else:
      bounds = [int(part) if part else None for part in item.split(":")]
      chosen.update(range(num_units)[slice(*bounds)])
  if not chosen:
    raise UserError(
      f"Units {selection!r} select none: the layer has units 0 to {num_units - 1}."
    )
  return np.array(sorted(chosen))


def _layer_items(selection: str, names: Sequence[str]) -> list[str]:
  """Splits at commas, except those within a layer's name."""
  parts, items = selection.split(","), []
  while parts:
    ends = range(len(parts), 1, -1)
    joined = (",".join(parts[:end]).strip() for end in ends)
    end = next((e for e, name in zip(ends, joined, strict=True) if name in names), 1)
    items.append(",".join(parts[:end]).strip())
    parts = parts[end:]
  return [item for item in items if item]


def _items(selection: str) -> list[str]:
  return [item.strip() for item in selection.split(",") if item.strip()]


def _is_number_or_slice(item: str) -> bool:
  parts = item.split(":")
  if len(parts) == 1:
    return item.isdecimal()
  # A slice with a step of zero is invalid.
  return (
    len(parts) <= 3
    and all(not part or part.isdecimal() for part in parts)
    and not (len(parts) == 3 and parts[2] and int(parts[2]) == 0)
  )
