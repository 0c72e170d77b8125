"""Whether layers are read in the order of the picture, and how else they would be."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from milan_jax._src.errors import UserError
from milan_jax._src.probe.layout import TOKENS, Layout, parse_layout, to_nhwc
from milan_jax._src.probe.readings import Readable
from milan_jax._src.probe.trial import in_parts
from milan_jax._src.probe.white_square import Order, Sight, sight
from milan_jax._src.records import LayerShape

Arrays = Mapping[str, Float[np.ndarray, "shown height width units"]]
# Reads the activations of `milan_jax._src.probe.white_square.pictures`.
Show = Callable[[tuple[str, ...]], Arrays]

# Tokens that are not patches, at most.
_MOST_SPECIAL = 64
# Layers of the same axes that are looked at where one alone cannot tell.
_WITNESSES = 4
_MOST_UNROLLS = 5
# Units that are looked at where many readings are tried.
_SAMPLE = 64
# The same, where one reading is.
_SAMPLE_OF_ONE = 128


@dataclasses.dataclass(frozen=True, slots=True)
class LayoutCheck:
  """What white squares show of how layers are read.

  Attributes:
    orders: of each layer that has positions, as it is read in the end.
    corrected: the layers that are read in another way now, and how they were before.
    dropped: the layers whose axes are not positions, and what they were taken for.
  """

  orders: Mapping[str, Order]
  corrected: Mapping[str, str]
  dropped: Mapping[str, str]


def look(shape: LayerShape, array: Float[np.ndarray, "_ _ _ _"]) -> Sight:
  """Where a layer sees the squares.

  Args:
    shape: of the layer.
    array: its activations of `milan_jax._src.probe.white_square.pictures`.
  """
  layout = parse_layout(shape.layout) if shape.layout else Layout("NHWC")
  # Some units tell as well as all, and in less time.
  array = array[..., :: math.ceil(array.shape[3] / _SAMPLE_OF_ONE)]
  if layout.axes not in TOKENS:
    return sight(array)
  # A special token that is behind was taken for one in front.
  return sight(array, latest=layout.special, exact=True)


def check_layouts(
  probe: Readable,
  shapes: Sequence[LayerShape],
  sights: Mapping[str, Sight],
  show: Show,
  *,
  aspect: float = 1.0,
) -> LayoutCheck:
  """Finds out which layers follow the picture, and reads them as they must be read.

  What the user set is not changed. Where a layer sees its squares elsewhere, a reading
  that fits is taken, if there is one. A layer that cannot tell is read as the layers of
  the same axes around it. Where there are none, it stays if its shape is that of the
  picture's patches, and is dropped if it is not: its axes are not positions.

  Args:
    probe: the model, whose readings are corrected.
    shapes: all of its layers, in its order.
    sights: where the chosen layers see the squares; layers of one position are skipped.
    show: shows the squares again, and reads other layers, or the same in another way.
    aspect: height of the picture over its width.
  """
  of = {shape.name: shape for shape in shapes if shape.height * shape.width > 1}
  chosen = [name for name in of if name in sights]
  seen = {name: sights[name] for name in chosen}
  ours = [
    name
    for name in chosen
    if not probe.readings.is_given(name) and name not in probe.readings.orders
  ]
  patches = _patches(shapes, aspect)
  likely = {name for name in of if _is_likely(of[name], patches, aspect)}
  unclear = [name for name in ours if seen[name].order is Order.UNCLEAR]
  unsure = [n for n in unclear if n not in likely or parse_layout(of[n].layout).special]
  others = [name for name in of if name not in seen]
  witnesses = _witnesses(of, unsure, others, given=probe.readings.is_given)
  for part in in_parts(shapes, witnesses):
    seen |= {name: look(of[name], array) for name, array in show(part).items()}
  doubtful = [
    name
    for name in (*ours, *witnesses)
    if _is_wrong(seen[name], is_likely=name in likely)
  ]
  if doubtful and _varies(show, doubtful[0]):
    # Squares are not visible in activations that vary by chance.
    return LayoutCheck(dict.fromkeys(chosen, Order.UNCLEAR), {}, {})
  known = {name: parse_layout(of[name].layout) for name in seen if _fits(seen[name])}
  known |= _other_readings(probe, of, doubtful, patches, show)
  corrections = _corrections(of, ours, known, likely)
  if corrections:
    probe.reread(corrections)
  dropped = {name for name, layout in corrections.items() if layout is None}
  before = {name: of[name].layout for name in corrections}
  return LayoutCheck(
    _orders(probe, {name: seen[name] for name in chosen}, known, corrections),
    corrected={name: text for name, text in before.items() if name not in dropped},
    dropped={name: text for name, text in before.items() if name in dropped},
  )


def _corrections(
  of: Mapping[str, LayerShape],
  names: Sequence[str],
  known: Mapping[str, Layout],
  likely: Container[str],
) -> dict[str, Layout | None]:
  """The layouts that differ from those before; None for layers to be dropped."""
  corrections: dict[str, Layout | None] = {}
  for name in names:
    own, found = parse_layout(of[name].layout), known.get(name)
    if found is None:
      # A shape never shows the order of tokens, but it shows the form of a map.
      if own.axes in TOKENS or name not in likely:
        found = _from_neighbors(of, name, known)
      if found is None and name not in likely:
        corrections[name] = None
    if found is not None and found != own:
      corrections[name] = found
  return corrections


def _orders(
  probe: Readable,
  seen: Mapping[str, Sight],
  known: Container[str],
  corrections: Mapping[str, Layout | None],
) -> dict[str, Order]:
  """The order of each layer's positions, as the layer is read in the end."""
  orders = {}
  for name, sight_of in seen.items():
    if name in probe.readings.orders:
      orders[name] = probe.readings.orders[name]
    elif name in known:
      orders[name] = Order.FOLLOWS
    elif name not in corrections:
      is_elsewhere = sight_of.order is Order.ELSEWHERE
      orders[name] = Order.ELSEWHERE if is_elsewhere else Order.UNCLEAR
    elif corrections[name] is not None:
      orders[name] = Order.UNCLEAR
  return orders


def settle_layouts(
  probe: Readable,
  show: Show,
  *,
  aspect: float = 1.0,
) -> None:
  """Finds the positions of all layers whose shape alone does not tell them.

  These are tokens, and maps that have not the form of the picture or as many units as
  rows. A model that cannot bear the pictures is left as it is.

  Args:
    probe: the model, whose readings are corrected, and know what was seen.
    show: shows white squares, and reads some layers.
    aspect: height of the picture over its width.
  """
  readings = probe.readings
  shapes = readings.shapes
  of = {shape.name: shape for shape in shapes}
  open_ = [
    name for name in of if _is_open(of[name], aspect) and not readings.is_given(name)
  ]
  sights: dict[str, Sight] = {}
  try:
    for part in in_parts(shapes, open_):
      sights |= {name: look(of[name], array) for name, array in show(part).items()}
    checked = check_layouts(probe, shapes, sights, show, aspect=aspect)
  except Exception:  # whatever the user's model raises: a run says it
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


def _varies(show: Show, name: str) -> bool:
  """Whether a layer's activations are not the same each time."""
  first, second = (np.nan_to_num(show((name,))[name]) for _ in range(2))
  return float(np.abs(first - second).max()) > 1e-3 * float(np.abs(first).max())


def _fits(seen: Sight) -> bool:
  return seen.order is Order.FOLLOWS and not seen.late


def _is_wrong(seen: Sight, *, is_likely: bool) -> bool:
  if seen.order is Order.UNCLEAR and not is_likely:
    return True
  return seen.order is Order.ELSEWHERE or (seen.late > 0 and seen.sharp)


def _patches(shapes: Sequence[LayerShape], aspect: float) -> set[int]:
  """How many positions the maps of a picture have in the model."""
  return {shape.height * shape.width for shape in shapes if _is_picture(shape, aspect)}


def _is_picture(shape: LayerShape, aspect: float) -> bool:
  """Whether a layer of four axes has about the form of the picture."""
  if shape.layout not in ("NCHW", "NHWC"):
    return False
  height, width = shape.height, shape.width * aspect
  return abs(height - width) <= max(1, 0.25 * max(height, width))


def _is_likely(shape: LayerShape, patches: set[int], aspect: float) -> bool:
  """Whether a layer's shape is reason enough to read it as it is read."""
  axes = shape.layout.partition(":")[0]
  if axes in TOKENS:
    return not patches or shape.height * shape.width in patches
  return axes in ("windows", "") or _is_picture(shape, aspect)


def _axes(shape: LayerShape) -> tuple[int, ...]:
  """What layers have in common that must be read alike."""
  axes = shape.layout.partition(":")[0]
  if axes in TOKENS:
    return (TOKENS.index(axes), shape.raw[axes.index("L")])
  return (len(TOKENS), *shape.raw[:3])


def _witnesses(
  of: Mapping[str, LayerShape],
  unsure: Sequence[str],
  others: Sequence[str],
  *,
  given: Callable[[str], bool],
) -> list[str]:
  """Layers that may tell how those are read that cannot: the nearest before them."""
  found: dict[str, None] = {}
  for name in unsure:
    alike = (one for one in _nearest(of, name) if one in others and not given(one))
    found |= dict.fromkeys(itertools.islice(alike, _WITNESSES))
  return list(found)


def _nearest(of: Mapping[str, LayerShape], name: str) -> Iterator[str]:
  """The layers of the same axes as a layer: those before it backwards, then others."""
  names = list(of)
  index = names.index(name)
  for other in (*reversed(names[:index]), *names[index + 1 :]):
    if _axes(of[other]) == _axes(of[name]):
      yield other


def _from_neighbors(
  of: Mapping[str, LayerShape], name: str, known: Mapping[str, Layout]
) -> Layout | None:
  """How the nearest layer of the same axes is read, best one before it."""
  return next((known[one] for one in _nearest(of, name) if one in known), None)


def _other_readings(
  probe: Readable,
  of: Mapping[str, LayerShape],
  layers: Sequence[str],
  patches: set[int],
  show: Show,
) -> dict[str, Layout]:
  """The reading of each layer in which its squares are where they must be."""
  raw: dict[str, Layout | None] = {}
  for name in layers:
    axes = of[name].layout.partition(":")[0]
    if axes in TOKENS:
      raw[name] = Layout(axes, grid=(1, of[name].raw[axes.index("L")]))
    elif axes in ("NCHW", "NHWC"):
      raw[name] = Layout("NHWC")
  if not raw:
    return {}
  own: dict[str, Layout | None] = {name: parse_layout(of[name].layout) for name in raw}
  found: dict[str, Layout | None] = {}
  probe.reread(raw)
  try:
    for part in in_parts(list(of.values()), list(raw)):
      arrays = show(part)
      found |= {name: _best(arrays[name], of[name], patches) for name in part}
  finally:
    probe.reread(own)
  return {name: layout for name, layout in found.items() if layout is not None}


def _best(
  array: Float[np.ndarray, "shown rows columns units"],
  shape: LayerShape,
  patches: set[int],
) -> Layout | None:
  own = parse_layout(shape.layout)
  is_tokens = own.axes in TOKENS
  if is_tokens:
    array = array[:, 0]  # its axes in the order of NLC
    readings = list(_of_tokens(array.shape[1], own, patches, array.shape[2]))
  else:
    readings = list(_of_four_axes(array.shape, own))
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
    seen = sight(np.asarray(maps)[..., ::step])
    if seen.order is Order.FOLLOWS and maps.shape[1] * maps.shape[2] > 1:
      fitting.append((seen.share, layout))
  if not fitting:
    return None
  fitting.sort(key=lambda pair: -pair[0])
  if len(fitting) > 1 and fitting[0][0] < fitting[1][0] + 0.1:
    # Two that differ by which tokens are patches are told apart by sharp sight alone.
    first, second = fitting[0][1], fitting[1][1]
    if first.unroll == second.unroll and first.axes == second.axes:
      return None
  return fitting[0][1]


def _of_tokens(
  tokens: int, own: Layout, patches: set[int], units: int
) -> Iterator[Layout]:
  """Ways to read tokens: which are patches, and in which order."""
  numbers = sorted(
    number
    for number in {tokens - own.special - own.after, *patches}
    if 0 <= tokens - number <= _MOST_SPECIAL and math.isqrt(number) ** 2 == number > 1
  )
  for number in numbers:
    rest = tokens - number
    for special in range(rest + 1):
      yield Layout(own.axes, special=special, after=rest - special)
    for times in range(1, _MOST_UNROLLS):
      if math.isqrt(number) % 2**times == 0:
        yield Layout(own.axes, special=rest, unroll=times)
    if own.axes == "NLC" and not rest:
      yield from _of_windows(math.isqrt(number))
  if own.axes == "NLC" and units in patches and math.isqrt(units) ** 2 == units:
    yield Layout("NCL")


def _of_windows(length: int) -> Iterator[Layout]:
  """Windows of a map, one after another."""
  for side in range(2, length):
    if length % side == 0:
      yield Layout("windows", side=side)


def _of_four_axes(shape: tuple[int, ...], own: Layout) -> Iterator[Layout]:
  yield Layout("NHWC" if own.axes == "NCHW" else "NCHW")
  if (
    math.isqrt(shape[2]) ** 2 == shape[2] > 1 and math.isqrt(shape[1]) ** 2 == shape[1]
  ):
    yield Layout("windows", side=math.isqrt(shape[2]))
