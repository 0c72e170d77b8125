"""The trial of a network, before a run or for a list of layers, and its report."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.images.sizes import sides
from milan_jax._src.probe import trial
from milan_jax._src.probe.fingerprints import summary
from milan_jax._src.probe.layout_check import (
  LayoutCheck,
  check_layouts,
  locate_in_layer,
)
from milan_jax._src.probe.probe_checks import ProbeError
from milan_jax._src.probe.protocol import Probe
from milan_jax._src.probe.readings import Readable
from milan_jax._src.probe.trial import Cause, Difference
from milan_jax._src.probe.unit_selection import describe_layers
from milan_jax._src.probe.white_square import Order, SquareLocation
from milan_jax._src.records import LayerShape
from milan_jax._src.runs.progress import say

_EXPLANATIONS = {
  Cause.RANDOM: (
    "the same pictures at every pass: a run rejects such a model. Turn off its "
    "dropout, noise or random masks in the code that creates it; a seed does not help"
  ),
  Cause.OVERWRITTEN: (
    "a picture while the next batch runs: a run rejects such a model. Return a new "
    "array (a copy, or a clone in torch) from every call"
  ),
  Cause.BATCH: (
    "a picture in different batches: a run rejects such a model, unless it processes "
    "one picture at a time, in batches of 1"
  ),
}


@dataclasses.dataclass(frozen=True, slots=True)
class TrialReport:
  """The results of the trial of some layers.

  Attributes:
    shapes: all layers of the network, in its order, with their final layouts. Dropped
      layers are included, so that indices do not change.
    layout_check: what white squares show about them; None if they were not used.
    differences: the layers whose activations differ between runs.
    failure: the error that stopped the trial; empty if there was none.
    answers: a `summary` of the layers' activations for noise, or for some latents.
    given: the layers whose layout the user set, which is not overridden.
  """

  shapes: tuple[LayerShape, ...]
  layout_check: LayoutCheck | None = None
  differences: tuple[Difference, ...] = ()
  failure: str = ""
  answers: Mapping[str, list[float]] = dataclasses.field(default_factory=dict)
  given: frozenset[str] = frozenset()

  def with_cause(self, cause: Cause) -> list[Difference]:
    """The layers that differ for this cause."""
    return [one for one in self.differences if one.cause is cause]

  @property
  def dropped(self) -> Mapping[str, str]:
    """The previous layouts of layers whose axes are not positions, by name."""
    return self.layout_check.dropped if self.layout_check else {}

  def with_order(self, order: Order) -> list[str]:
    """The layers in which white squares show this order."""
    orders = self.layout_check.orders if self.layout_check else {}
    return [name for name, one in orders.items() if one is order]


def try_layers(
  probe: Probe,
  layers: Sequence[str],
  *,
  batch_size: int,
  latents: np.ndarray | None = None,
) -> TrialReport:
  """Runs a trial of some layers of a network, and corrects their layouts.

  The built-in backbones are covered by tests and skip the trial. A failure on gray
  pictures is not an error, because the network may run on others.

  Args:
    probe: the network.
    layers: names of the layers.
    batch_size: the run's batch size per device.
    latents: some inputs of a generator, at least one.

  Raises:
    ProbeError: if the probe returns arrays of other shapes than `layers()` states.
  """
  shapes = tuple(probe.layers())
  if getattr(probe, "is_known", False):
    return TrialReport(shapes)
  of = {shape.name: shape for shape in shapes}
  differences: list[Difference] = []
  locations: dict[str, SquareLocation] = {}
  answers: dict[str, list[float]] = {}
  try:
    for part in trial.layer_groups(shapes, layers):
      shown = trial.run_trial(probe, part, batch_size=batch_size, latents=latents)
      differences += shown.differences
      answers |= {name: summary(array) for name, array in shown.fillers.items()}
      if latents is None:
        locations |= {
          name: locate_in_layer(of[name], shown.activations[name]) for name in part
        }
    if latents is not None or not isinstance(probe, Readable):
      return TrialReport(shapes, differences=tuple(differences), answers=answers)

    def again(names: tuple[str, ...]) -> Mapping[str, np.ndarray]:
      once = trial.run_trial(probe, names, batch_size=batch_size, check_batch=False)
      return once.activations

    constant = {one.layer for one in differences if one.cause is Cause.RANDOM}
    locations = {name: one for name, one in locations.items() if name not in constant}
    height, width = sides(probe.image_size)
    layout_check = check_layouts(probe, shapes, locations, again, aspect=height / width)
  except ProbeError:
    raise
  except Exception as error:  # any error of the user's model
    return TrialReport(shapes, failure=f"{type(error).__name__}: {error}")
  now = {shape.name: shape for shape in probe.layers()}
  return TrialReport(
    tuple(now.get(shape.name, shape) for shape in shapes),
    layout_check,
    tuple(differences),
    answers=answers,
    given=frozenset(name for name in layers if probe.readings.is_set_by_user(name)),
  )


def check_reproducible(report: TrialReport, *, batch_size: int) -> None:
  """Checks that activations are reproducible and do not depend on the batch.

  Args:
    report: the report of the trial.
    batch_size: the run's batch size per device. If it is 1, dependence on the batch is
      reported and not an error.

  Raises:
    UserError: if a layer fails the check.
  """
  random = report.with_cause(Cause.RANDOM)
  if random:
    raise UserError(
      f"{_difference_text(random)} the same pictures at every pass: no two runs would "
      "agree. Turn off the model's dropout, noise or random masks in the code that "
      "creates it; a seed does not help."
    )
  overwritten = report.with_cause(Cause.OVERWRITTEN)
  if overwritten:
    raise UserError(
      f"{_difference_text(overwritten)} a picture while the next batch runs: the model "
      "writes its activations to memory that it uses again. Return a new array (a "
      "copy, or a clone in torch) from every call."
    )
  batch_dependent = report.with_cause(Cause.BATCH)
  if batch_dependent and batch_size > 1:
    raise UserError(
      f"{_difference_text(batch_dependent)} a picture in different batches: the model "
      "depends on the batch, as batch norm without running statistics does. Fix it (in "
      "torch track_running_stats=True; export it in evaluation mode), or process one "
      "picture at a time with --probe_batch_size 1."
    )
  if batch_dependent:
    say(
      f"{_difference_text(batch_dependent)} a picture in different batches; each "
      "picture is processed in a batch of one"
    )


def _difference_text(found: Sequence[Difference]) -> str:
  first = max(found, key=lambda one: one.max_difference / (one.max_activation or 1))
  more = f" and {len(found) - 1} more layers give" if len(found) > 1 else " gives"
  return (
    f"Layer {first.layer}{more} different values (by up to {first.max_difference:.3g}, "
    f"for values up to {first.max_activation:.3g}) for"
  )


def report_layouts(report: TrialReport) -> None:
  """Prints which layouts were corrected, and how many could not be determined."""
  if report.failure:
    say(
      f"the trial stopped with {report.failure}: the order of positions and the "
      "reproducibility of activations were not tested"
    )
  if report.layout_check is None:
    return
  corrected = report.layout_check.corrected
  now = {one.name: one for one in report.shapes}
  for before, after in dict.fromkeys(
    (before, now[name].layout) for name, before in corrected.items()
  ):
    names = [
      name
      for name, one in corrected.items()
      if (one, now[name].layout) == (before, after)
    ]
    say(
      f"{_names_text(names)} read as {after} instead of {before}: with this layout the "
      "white squares appear in place"
    )
  against = [
    name for name in report.with_order(Order.ELSEWHERE) if name in report.given
  ]
  if against:
    say(
      f"{_names_text(against)} read as set by the user, although the white squares do "
      "not appear in place: check the layout"
    )
  unclear = report.with_order(Order.UNCLEAR)
  if unclear:
    say(
      f"the order of positions cannot be determined for {len(unclear)} of "
      f"{len(report.layout_check.orders)} layers (such as {unclear[0]}): the change "
      "caused by a white square is not in one place"
    )


def layout_error(report: TrialReport, name: str) -> str:
  """Why a layer cannot be described with its layout; empty if it can."""
  remedy = f"set its layout with --layouts {name}=LAYOUT, or choose another layer."
  if name in report.dropped:
    return (
      f"Layer {name} would be read as {report.dropped[name]}, but its axes are not "
      "positions of the picture: the change caused by a white square is not in one "
      f"place; {remedy}"
    )
  if name in report.with_order(Order.ELSEWHERE) and name not in report.given:
    layout = next(one.layout for one in report.shapes if one.name == name)
    return (
      f"Layer {name} is read as {layout}, but its positions are not in the order of "
      f"the picture: white squares do not appear in place; {remedy}"
    )
  return ""


def format_report(report: TrialReport) -> str:
  """A table of a network's layers with the results of the trial."""
  notes = {one.layer: one.cause.value for one in report.differences}
  notes |= dict.fromkeys(report.with_order(Order.ELSEWHERE), "elsewhere")
  listed = [one.name for one in report.shapes if one.name not in report.dropped]
  lines = [describe_layers(report.shapes, listed, notes)]
  for cause, why in _EXPLANATIONS.items():
    found = report.with_cause(cause)
    if found:
      lines.append(f"{_difference_text(found)} {why}.")
  elsewhere = [
    name for name in report.with_order(Order.ELSEWHERE) if layout_error(report, name)
  ]
  if elsewhere:
    lines.append(layout_error(report, elsewhere[0]))
  if report.failure:
    lines.append(f"The trial stopped with {report.failure}.")
  return "\n".join(lines)


def _names_text(names: Sequence[str]) -> str:
  more = f" and {len(names) - 1} more layers are" if len(names) > 1 else " is"
  return f"{names[0]}{more}"
