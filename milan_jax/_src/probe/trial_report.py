"""A network's trial, before a run and for a list of layers, and what is said of it."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.images.sizes import sides
from milan_jax._src.probe import trial
from milan_jax._src.probe.fingerprints import summary
from milan_jax._src.probe.layout_check import LayoutCheck, check_layouts, look
from milan_jax._src.probe.probe_checks import ProbeError
from milan_jax._src.probe.protocol import Probe
from milan_jax._src.probe.readings import Readable
from milan_jax._src.probe.trial import Cause, Difference
from milan_jax._src.probe.unit_selection import describe_layers
from milan_jax._src.probe.white_square import Order, Sight
from milan_jax._src.records import LayerShape
from milan_jax._src.runs.progress import say

_WHY = {
  Cause.CHANCE: (
    "the same pictures at every pass: a run refuses such a model. Switch off its "
    "dropout, noise or random masks where it is made; a seed does not help"
  ),
  Cause.COMPANY: (
    "a picture beside other pictures: a run refuses such a model, unless it shows one "
    "picture at a time, with --probe_batch_size 1"
  ),
}


@dataclasses.dataclass(frozen=True, slots=True)
class TrialReport:
  """What the trial of some layers found.

  Attributes:
    shapes: all layers of the network, in its order, as they are read now. Those that
      were dropped are among them, so that an index means the same as before.
    layout_check: what white squares show of them; None where none were shown.
    differences: the layers whose numbers are not always the same.
    failure: what stopped the trial; empty if nothing did.
    answers: a `summary` of what the layers gave for noise, or for some latents.
    given: the layers whose layout the user set, which is not overruled.
  """

  shapes: tuple[LayerShape, ...]
  layout_check: LayoutCheck | None = None
  differences: tuple[Difference, ...] = ()
  failure: str = ""
  answers: Mapping[str, list[float]] = dataclasses.field(default_factory=dict)
  given: frozenset[str] = frozenset()

  def of_cause(self, cause: Cause) -> list[Difference]:
    """The layers that differ for a reason."""
    return [one for one in self.differences if one.cause is cause]

  @property
  def dropped(self) -> Mapping[str, str]:
    """Layers whose axes are not positions, and what they were taken for."""
    return self.layout_check.dropped if self.layout_check else {}

  def in_order(self, order: Order) -> list[str]:
    """The layers of which the white squares say this."""
    orders = self.layout_check.orders if self.layout_check else {}
    return [name for name, one in orders.items() if one is order]


def try_layers(
  probe: Probe,
  layers: Sequence[str],
  *,
  batch_size: int,
  latents: np.ndarray | None = None,
) -> TrialReport:
  """Tries some layers of a network, and reads them as the trial says.

  Our own backbones were tried when they were made, and are not tried again. A network
  that fails on gray pictures may run on others: that is not an error.

  Args:
    probe: the network.
    layers: names of the layers.
    batch_size: images of the run that go through one device together.
    latents: some inputs of a generator, at least one.

  Raises:
    ProbeError: if the probe returns other arrays than its `layers()` states.
  """
  shapes = tuple(probe.layers())
  if getattr(probe, "is_known", False):
    return TrialReport(shapes)
  of = {shape.name: shape for shape in shapes}
  differences: list[Difference] = []
  sights: dict[str, Sight] = {}
  answers: dict[str, list[float]] = {}
  try:
    for part in trial.in_parts(shapes, layers):
      shown = trial.show(probe, part, batch_size=batch_size, latents=latents)
      differences += shown.differences
      answers |= {name: summary(array) for name, array in shown.beside.items()}
      if latents is None:
        sights |= {name: look(of[name], shown.activations[name]) for name in part}
    if latents is not None or not isinstance(probe, Readable):
      return TrialReport(shapes, differences=tuple(differences), answers=answers)

    def again(names: tuple[str, ...]) -> Mapping[str, np.ndarray]:
      once = trial.show(probe, names, batch_size=batch_size, in_company=False)
      return once.activations

    constant = {one.layer for one in differences if one.cause is Cause.CHANCE}
    sights = {name: one for name, one in sights.items() if name not in constant}
    height, width = sides(probe.image_size)
    layout_check = check_layouts(probe, shapes, sights, again, aspect=height / width)
  except ProbeError:
    raise
  except Exception as error:  # whatever the user's model raises
    return TrialReport(shapes, failure=f"{type(error).__name__}: {error}")
  now = {shape.name: shape for shape in probe.layers()}
  return TrialReport(
    tuple(now.get(shape.name, shape) for shape in shapes),
    layout_check,
    tuple(differences),
    answers=answers,
    given=frozenset(name for name in layers if probe.readings.is_given(name)),
  )


def check_alone(tried: TrialReport, *, batch_size: int) -> None:
  """Refuses what is not the same each time, or depends on what shares the batch.

  Args:
    tried: the layers.
    batch_size: images that are shown together. One alone depends on no other, which is
      said and no error.

  Raises:
    UserError: if a layer does.
  """
  by_chance = tried.of_cause(Cause.CHANCE)
  if by_chance:
    raise UserError(
      f"{_differing(by_chance)} the same pictures at every pass: no two runs would "
      "agree. Switch off the model's dropout, noise or random masks where it "
      "is made; a seed does not help."
    )
  by_company = tried.of_cause(Cause.COMPANY)
  if by_company and batch_size > 1:
    raise UserError(
      f"{_differing(by_company)} a picture beside other pictures: the model depends on "
      "the batch, as batch norm without running statistics does. Fix it (in torch "
      "track_running_stats=True; export it in evaluation mode), or show one picture at "
      "a time with --probe_batch_size 1."
    )
  if by_company:
    say(
      f"{_differing(by_company)} a picture beside other pictures; each is shown alone, "
      "and its numbers are those that it has alone"
    )


def _differing(found: Sequence[Difference]) -> str:
  first = max(found, key=lambda one: one.max_difference / (one.max_activation or 1))
  more = f" and {len(found) - 1} more layers give" if len(found) > 1 else " gives"
  return (
    f"Layer {first.layer}{more} other numbers (by up to {first.max_difference:.3g}, of "
    f"values up to {first.max_activation:.3g}) for"
  )


def report_layouts(tried: TrialReport) -> None:
  """Says how layers are read after all, and of how many that cannot be told."""
  if tried.failure:
    say(
      f"the trial stopped with {tried.failure}: whether its positions are those of the "
      "picture, and its numbers always the same, was not tested"
    )
  if tried.layout_check is None:
    return
  corrected, now = tried.layout_check.corrected, {one.name: one for one in tried.shapes}
  for before, after in dict.fromkeys(
    (before, now[name].layout) for name, before in corrected.items()
  ):
    names = [
      name
      for name, one in corrected.items()
      if (one, now[name].layout) == (before, after)
    ]
    say(
      f"{_some(names)} read as {after} and not as {before}: this puts the white "
      "squares where they are"
    )
  against = [name for name in tried.in_order(Order.ELSEWHERE) if name in tried.given]
  if against:
    say(
      f"{_some(against)} read as you set it, although this puts the white squares "
      "elsewhere than they are: check --layouts"
    )
  unclear = tried.in_order(Order.UNCLEAR)
  if unclear:
    say(
      f"whether positions are those of the picture cannot be determined for "
      f"{len(unclear)} of {len(tried.layout_check.orders)} layers (such as "
      f"{unclear[0]}): what a white square changes is not in one place"
    )


def complaint(tried: TrialReport, name: str) -> str:
  """Why a layer is not to be described as it is read; empty if it is."""
  remedy = f"set how it is read with --layouts {name}=LAYOUT, or choose another layer."
  if name in tried.dropped:
    return (
      f"Layer {name} would be read as {tried.dropped[name]}, and its axes are not "
      "positions of the picture: what a white square changes is not in one place; "
      f"{remedy}"
    )
  if name in tried.in_order(Order.ELSEWHERE) and name not in tried.given:
    layout = next(one.layout for one in tried.shapes if one.name == name)
    return (
      f"Layer {name} is read as {layout}, and its positions are not in the order of "
      f"the picture: it sees white squares elsewhere than they are; {remedy}"
    )
  return ""


def format_report(tried: TrialReport) -> str:
  """A table of a network's layers, and what the trial says of them."""
  notes = {one.layer: f"by {one.cause.value}" for one in tried.differences}
  notes |= dict.fromkeys(tried.in_order(Order.ELSEWHERE), "elsewhere")
  listed = [one.name for one in tried.shapes if one.name not in tried.dropped]
  lines = [describe_layers(tried.shapes, listed, notes)]
  for cause, why in _WHY.items():
    found = tried.of_cause(cause)
    if found:
      lines.append(f"{_differing(found)} {why}.")
  elsewhere = [
    name for name in tried.in_order(Order.ELSEWHERE) if complaint(tried, name)
  ]
  if elsewhere:
    lines.append(complaint(tried, elsewhere[0]))
  if tried.failure:
    lines.append(f"The trial stopped with {tried.failure}.")
  return "\n".join(lines)


def _some(names: Sequence[str]) -> str:
  more = f" and {len(names) - 1} more layers are" if len(names) > 1 else " is"
  return f"{names[0]}{more}"
