"""Checks that layers are read in the order of the picture, and corrects layouts."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from milan_jax._src.errors import UserError
from milan_jax._src.probe.layout import TOKENS, Layout, parse_layout, to_nhwc
from milan_jax._src.probe.readings import Readable
from milan_jax._src.probe.trial import layer_groups
from milan_jax._src.probe.white_square import Order, SquareLocation, locate_squares
from milan_jax._src.records import LayerShape

Arrays = Mapping[str, Float[np.ndarray, "shown height width units"]]
# Reads the activations of `milan_jax._src.probe.white_square.pictures`.
RunSquares = Callable[[tuple[str, ...]], Arrays]

# Maximum number of tokens that are not patches.
_MAX_SPECIAL = 64
# Number of other layers with the same axes that are checked if one is inconclusive.
_MAX_REFERENCES = 4
_UNROLL_LIMIT = 5
# Number of units used if many layouts are tried.
_SAMPLE = 64
# Number of units used if one layout is checked.
_SAMPLE_OF_ONE = 128


@dataclasses.dataclass(frozen=True, slots=True)
class LayoutCheck:
  """What white squares show about the layouts of layers.

  Attributes:
    orders: order of each layer that has positions, under its final layout.
    corrected: the previous layouts of layers whose layout was changed, by name.
    dropped: the previous layouts of layers whose axes are not positions, by name.
  """

  orders: Mapping[str, Order]
  corrected: Mapping[str, str]
  dropped: Mapping[str, str]


def locate_in_layer(
  shape: LayerShape, array: Float[np.ndarray, "_ _ _ _"]
) -> SquareLocation:
  """Locates the squares in a layer's activations.

  Args:
    shape: the layer's shape.
    array: its activations for `milan_jax._src.probe.white_square.pictures`.
  """
  layout = parse_layout(shape.layout) if shape.layout else Layout("NHWC")
  # A sample of the units is as informative as all, and faster.
  array = array[..., :: math.ceil(array.shape[3] / _SAMPLE_OF_ONE)]
  if layout.axes not in TOKENS:
    return locate_squares(array)
  # A trailing special token may have been mistaken for a leading one.
  return locate_squares(array, max_shift=layout.special, exact=True)


def check_layouts(
  probe: Readable,
  shapes: Sequence[LayerShape],
  locations: Mapping[str, SquareLocation],
  show: RunSquares,
  *,
  aspect: float = 1.0,
) -> LayoutCheck:
  """Finds layers that are not read in the picture's order, and corrects their layouts.

  Layouts set by the user are not changed. If the squares appear elsewhere in a layer,
  it gets a layout in which they appear in place, if there is one. If a layer is
  inconclusive, it gets the layout of the nearest layers with the same axes. If there
  are none, its layout is kept if its shape is that of the picture's patches; otherwise
  the layer is dropped, because its axes are not positions.

  Args:
    probe: the model, whose layouts are corrected.
    shapes: all of its layers, in the model's order.
    locations: where the squares appear in the chosen layers; layers of one position are
      skipped.
    show: runs the model on the squares again, to read other layers or other layouts.
    aspect: height of the picture divided by its width.
  """
  shape_of = {shape.name: shape for shape in shapes if shape.height * shape.width > 1}
  chosen = [name for name in shape_of if name in locations]
  seen = {name: locations[name] for name in chosen}
  ours = [
    name
    for name in chosen
    if not probe.readings.is_set_by_user(name) and name not in probe.readings.orders
  ]
  patches = _patches(shapes, aspect)
  plausible = {
    name for name in shape_of if _is_plausible(shape_of[name], patches, aspect)
  }
  unclear = [name for name in ours if seen[name].order is Order.UNCLEAR]
  unsure = [
    n for n in unclear if n not in plausible or parse_layout(shape_of[n].layout).special
  ]
  others = [name for name in shape_of if name not in seen]
  references = _reference_layers(
    shape_of, unsure, others, given=probe.readings.is_set_by_user
  )
  for part in layer_groups(shapes, references):
    seen |= {
      name: locate_in_layer(shape_of[name], array) for name, array in show(part).items()
    }
  doubtful = [
    name
    for name in (*ours, *references)
    if _is_wrong(seen[name], is_plausible=name in plausible)
  ]
  if doubtful and _varies(show, doubtful[0]):
    # Squares cannot be detected in activations that vary at random.
    return LayoutCheck(dict.fromkeys(chosen, Order.UNCLEAR), {}, {})
  known = {
    name: parse_layout(shape_of[name].layout) for name in seen if _fits(seen[name])
  }
  known |= _alternative_layouts(probe, shape_of, doubtful, patches, show)
  corrections = _corrections(shape_of, ours, known, plausible)
  if corrections:
    probe.reread(corrections)
  dropped = {name for name, layout in corrections.items() if layout is None}
  before = {name: shape_of[name].layout for name in corrections}
  return LayoutCheck(
    _orders(probe, {name: seen[name] for name in chosen}, known, corrections),
    corrected={name: text for name, text in before.items() if name not in dropped},
    dropped={name: text for name, text in before.items() if name in dropped},
  )


def _corrections(
  shape_of: Mapping[str, LayerShape],
  names: Sequence[str],
  known: Mapping[str, Layout],
  plausible: Container[str],
) -> dict[str, Layout | None]:
  """The layouts that differ from the current ones; None for layers to drop."""
  corrections: dict[str, Layout | None] = {}
  for name in names:
    own, found = parse_layout(shape_of[name].layout), known.get(name)
    if found is None:
      # A shape does not show the order of tokens, but does show whether it is a map.
      if own.axes in TOKENS or name not in plausible:
        found = _from_neighbors(shape_of, name, known)
      if found is None and name not in plausible:
        corrections[name] = None
    if found is not None and found != own:
      corrections[name] = found
  return corrections


def _orders(
  probe: Readable,
  seen: Mapping[str, SquareLocation],
  known: Container[str],
  corrections: Mapping[str, Layout | None],
) -> dict[str, Order]:
  """The order of each layer's positions under its final layout."""
  orders = {}
  for name, location in seen.items():
    if name in probe.readings.orders:
      orders[name] = probe.readings.orders[name]
    elif name in known:
      orders[name] = Order.FOLLOWS
    elif name not in corrections:
      is_elsewhere = location.order is Order.ELSEWHERE
      orders[name] = Order.ELSEWHERE if is_elsewhere else Order.UNCLEAR
    elif corrections[name] is not None:
      orders[name] = Order.UNCLEAR
  return orders


def determine_layouts(
  probe: Readable,
  show: RunSquares,
  *,
  aspect: float = 1.0,
) -> None:
  """Finds the positions of all layers whose shape is ambiguous.

  These are tokens, maps that do not have the picture's aspect ratio, and maps with as
  many units as rows. If the model fails on the pictures, nothing is changed.

  Args:
    probe: the model, whose layouts are corrected; its readings record the result.
    show: runs the model on the white squares and reads some layers.
    aspect: height of the picture divided by its width.
  """
  readings = probe.readings
  shapes = readings.shapes
  shape_of = {shape.name: shape for shape in shapes}
  open_ = [
    name
    for name in shape_of
    if _is_open(shape_of[name], aspect) and not readings.is_set_by_user(name)
  ]
  locations: dict[str, SquareLocation] = {}
  try:
    for part in layer_groups(shapes, open_):
      locations |= {
        name: locate_in_layer(shape_of[name], array)
        for name, array in show(part).items()
      }
    checked = check_layouts(probe, shapes, locations, show, aspect=aspect)
  except Exception:  # an error of the user's model, which a run reports
    return
  readings.orders |= checked.orders
  readings.corrected |= checked.corrected


def _is_open(shape: LayerShape, aspect: float) -> bool:
  if shape.height * shape.width < 2:
    return False
  axes = shape.layout.partition(":")[0]
  if axes in TOKENS:
    return True
  cube = len(set(shape.raw[1:])) == 1
  return axes in ("NCHW", "NHWC") and (cube or not _is_picture(shape, aspect))


def _varies(show: RunSquares, name: str) -> bool:
  """Whether a layer's activations differ between two runs."""
  first, second = (np.nan_to_num(show((name,))[name]) for _ in range(2))
  return float(np.abs(first - second).max()) > 1e-3 * float(np.abs(first).max())


def _fits(seen: SquareLocation) -> bool:
  return seen.order is Order.FOLLOWS and not seen.shift_by


def _is_wrong(seen: SquareLocation, *, is_plausible: bool) -> bool:
  if seen.order is Order.UNCLEAR and not is_plausible:
    return True
  return seen.order is Order.ELSEWHERE or (seen.shift_by > 0 and seen.sharp)


def _patches(shapes: Sequence[LayerShape], aspect: float) -> set[int]:
  """The numbers of positions of the model's maps."""
  return {shape.height * shape.width for shape in shapes if _is_picture(shape, aspect)}


def _is_picture(shape: LayerShape, aspect: float) -> bool:
  """Whether a layer of four axes has about the aspect ratio of the picture."""
  if shape.layout not in ("NCHW", "NHWC"):
    return False
  height, width = shape.height, shape.width * aspect
  return abs(height - width) <= max(1, 0.25 * max(height, width))


def _is_plausible(shape: LayerShape, patches: set[int], aspect: float) -> bool:
  """Whether a layer's shape supports its layout."""
  axes = shape.layout.partition(":")[0]
  if axes in TOKENS:
    return not patches or shape.height * shape.width in patches
  return axes in ("windows", "") or _is_picture(shape, aspect)


def _axes(shape: LayerShape) -> tuple[int, ...]:
  """A key shared by layers that must have the same layout."""
  axes = shape.layout.partition(":")[0]
  if axes in TOKENS:
    return (TOKENS.index(axes), shape.raw[axes.index("L")])
  return (len(TOKENS), *shape.raw[:3])


def _reference_layers(
  shape_of: Mapping[str, LayerShape],
  unsure: Sequence[str],
  others: Sequence[str],
  *,
  given: Callable[[str], bool],
) -> list[str]:
  """The nearest earlier layers that may show the layout of inconclusive ones."""
  found: dict[str, None] = {}
  for name in unsure:
    alike = (
      one for one in _nearest(shape_of, name) if one in others and not given(one)
    )
    found |= dict.fromkeys(itertools.islice(alike, _MAX_REFERENCES))
  return list(found)


def _nearest(shape_of: Mapping[str, LayerShape], name: str) -> Iterator[str]:
  """Layers with the same axes: earlier ones, nearest first, then later ones."""
  names = list(shape_of)
  index = names.index(name)
  for other in (*reversed(names[:index]), *names[index + 1 :]):
    if _axes(shape_of[other]) == _axes(shape_of[name]):
      yield other


def _from_neighbors(
  shape_of: Mapping[str, LayerShape], name: str, known: Mapping[str, Layout]
) -> Layout | None:
  """The layout of the nearest layer with the same axes, preferably an earlier one."""
  return next((known[one] for one in _nearest(shape_of, name) if one in known), None)


def _alternative_layouts(
  probe: Readable,
  shape_of: Mapping[str, LayerShape],
  layers: Sequence[str],
  patches: set[int],
  show: RunSquares,
) -> dict[str, Layout]:
  """The layout of each layer under which its squares appear in place."""
  raw: dict[str, Layout | None] = {}
  for name in layers:
    axes = shape_of[name].layout.partition(":")[0]
    if axes in TOKENS:
      raw[name] = Layout(axes, grid=(1, shape_of[name].raw[axes.index("L")]))
    elif axes in ("NCHW", "NHWC"):
      raw[name] = Layout("NHWC")
  if not raw:
    return {}
  own: dict[str, Layout | None] = {
    name: parse_layout(shape_of[name].layout) for name in raw
  }
  found: dict[str, Layout | None] = {}
  probe.reread(raw)
  try:
    for part in layer_groups(list(shape_of.values()), list(raw)):
      arrays = show(part)
      found |= {
        name: _best_layout(arrays[name], shape_of[name], patches) for name in part
      }
  finally:
    probe.reread(own)
  return {name: layout for name, layout in found.items() if layout is not None}


def _best_layout(
  array: Float[np.ndarray, "shown rows columns units"],
  shape: LayerShape,
  patches: set[int],
) -> Layout | None:
  own = parse_layout(shape.layout)
  is_tokens = own.axes in TOKENS
  if is_tokens:
    array = array[:, 0]  # axes in the order NLC
    readings = list(_token_layouts(array.shape[1], own, patches, array.shape[2]))
  else:
    readings = list(_four_axis_layouts(array.shape, own))
  fitting: list[tuple[float, Layout]] = []
  for layout in readings:
    tried = layout
    if is_tokens and layout.axes == own.axes:
      tried = dataclasses.replace(layout, axes="NLC")
    try:
      maps = to_nhwc(array, shape.name, tried, batch=len(array))
    except UserError:
      continue
    step = math.ceil(maps.shape[3] / _SAMPLE)
    seen = locate_squares(np.asarray(maps)[..., ::step])
    if seen.order is Order.FOLLOWS and maps.shape[1] * maps.shape[2] > 1:
      fitting.append((seen.share, layout))
  if not fitting:
    return None
  fitting.sort(key=lambda pair: -pair[0])
  if len(fitting) > 1 and fitting[0][0] < fitting[1][0] + 0.1:
    # Layouts that differ only in which tokens are patches need a clear winner.
    first, second = fitting[0][1], fitting[1][1]
    if first.unroll == second.unroll and first.axes == second.axes:
      return None
  return fitting[0][1]


def _token_layouts(
  tokens: int, own: Layout, patches: set[int], units: int
) -> Iterator[Layout]:
  """Candidate layouts of tokens: which are patches, and in which order."""
  numbers = sorted(
    number
    for number in {tokens - own.special - own.after, *patches}
    if 0 <= tokens - number <= _MAX_SPECIAL and math.isqrt(number) ** 2 == number > 1
  )
  for number in numbers:
    rest = tokens - number
    for special in range(rest + 1):
      yield Layout(own.axes, special=special, after=rest - special)
    for times in range(1, _UNROLL_LIMIT):
      if math.isqrt(number) % 2**times == 0:
        yield Layout(own.axes, special=rest, unroll=times)
    if own.axes == "NLC" and not rest:
      yield from _window_layouts(math.isqrt(number))
  if own.axes == "NLC" and units in patches and math.isqrt(units) ** 2 == units:
    yield Layout("NCL")


def _window_layouts(length: int) -> Iterator[Layout]:
  """Candidate layouts of concatenated windows of a map."""
  for side in range(2, length):
    if length % side == 0:
      yield Layout("windows", side=side)


def _four_axis_layouts(shape: tuple[int, ...], own: Layout) -> Iterator[Layout]:
  yield Layout("NHWC" if own.axes == "NCHW" else "NCHW")
  if (
    math.isqrt(shape[2]) ** 2 == shape[2] > 1 and math.isqrt(shape[1]) ** 2 == shape[1]
  ):
    yield Layout("windows", side=math.isqrt(shape[2]))
