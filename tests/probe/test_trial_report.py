"""Models that are random or depend on the batch are rejected and listed."""

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import TORCHVISION
from milan_jax._src.probe.callable_model import CallableProbe
from milan_jax._src.probe.jax_generator import JaxGenerator
from milan_jax._src.probe.latent_inputs import trial_inputs
from milan_jax._src.probe.trial import Cause, run_trial
from milan_jax._src.probe.trial_report import (
  check_reproducible,
  format_report,
  report_layouts,
  try_layers,
)
from milan_jax._src.records import LayerShape

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from milan_jax._src.probe.torch_generator import TorchGenerator  # noqa: E402
from milan_jax._src.probe.torch_module import TorchProbe  # noqa: E402


class Reads(nn.Module):
  """A convolution followed by an operation on its maps."""

  def __init__(self, then):
    super().__init__()
    torch.manual_seed(0)
    self.conv = nn.Conv2d(3, 4, 3, 2, 1)
    self.read = nn.Identity()
    self.then = then

  def forward(self, pixels):
    return self.read(self.then(self.conv(pixels)))


def seeded(maps):
  torch.manual_seed(0)
  return maps + torch.randn_like(maps)


RANDOM = {
  "dropout": lambda maps: nn.functional.dropout(maps, 0.5),
  "dropout of maps": lambda maps: nn.functional.dropout2d(maps, 0.1),
  "noise": lambda maps: maps + torch.randn(1),
  "weak noise": lambda maps: maps + 1e-2 * torch.randn(maps.shape),
  "permutation": lambda maps: maps[:, torch.randperm(4)] + torch.rand(1),
}
BATCH_DEPENDENT = {
  "statistics": nn.BatchNorm2d(4, track_running_stats=False),
  "maximum": lambda maps: maps / maps.abs().max(),
  "mean": lambda maps: maps - maps.mean(0, keepdim=True),
  "neighbor": lambda maps: maps + maps.roll(1, 0),
  "range": lambda maps: torch.round(maps / maps.max() * 20),
  "seeded noise": seeded,
}
ALONE = {
  "nothing": lambda maps: maps,
  "running statistics": nn.BatchNorm2d(4),
  "own statistics": nn.InstanceNorm2d(4),
  "own maximum": lambda maps: maps / maps.abs().amax((1, 2, 3), keepdim=True),
  "modules that are off": nn.Dropout(0.5),
  "no numbers": lambda maps: maps * torch.nan,
  "zeros": lambda maps: maps * 0,
}


def tried(then, batch_size=16):
  return try_layers(
    TorchProbe(Reads(then), 32), ("conv", "read"), batch_size=batch_size
  )


def test_a_module_that_keeps_its_result_in_a_buffer_is_refused():
  class Buffer(nn.Module):
    memory = None

    def forward(self, maps):
      if self.memory is None or self.memory.shape != maps.shape:
        self.memory = torch.empty_like(maps)
      return self.memory.copy_(maps)

  report = tried(Buffer())
  assert {one.cause for one in report.differences} == {Cause.OVERWRITTEN}
  # `read` returns the same tensor; the convolution's own is another.
  assert [one.layer for one in report.differences] == ["read"]
  with pytest.raises(UserError, match=r"memory that it uses again\. .*clone in torch"):
    check_reproducible(report, batch_size=16)
  assert "while the next batch runs: a run rejects" in format_report(report)


@pytest.mark.parametrize("then", RANDOM.values(), ids=RANDOM)
def test_what_depends_on_chance_is_refused(then):
  found = tried(then)
  assert [(one.layer, one.cause) for one in found.differences] == [
    ("read", Cause.RANDOM)
  ]
  for batch_size in (16, 1):
    with pytest.raises(UserError, match=r"Layer read .*dropout, noise or random masks"):
      check_reproducible(found, batch_size=batch_size)
  assert "random" in format_report(found)


@pytest.mark.parametrize("then", BATCH_DEPENDENT.values(), ids=BATCH_DEPENDENT)
def test_what_depends_on_the_batch_is_refused(then, capsys):
  for batch_size in (16, 2):
    found = tried(then, batch_size)
    assert [(one.layer, one.cause) for one in found.differences] == [
      ("read", Cause.BATCH)
    ]
    with pytest.raises(UserError, match=r"Layer read .*probe_batch_size 1"):
      check_reproducible(found, batch_size=batch_size)
  assert "depends on batch" in format_report(found)
  capsys.readouterr()
  # A batch of one is well-defined.
  check_reproducible(tried(then, 1), batch_size=1)
  said = "".join(capsys.readouterr())
  assert "Layer read" in said
  assert "batch of one" in said


@pytest.mark.parametrize("then", ALONE.values(), ids=ALONE)
def test_what_depends_on_a_picture_alone_is_not(then):
  found = tried(then)
  assert not found.differences
  assert not found.failure
  check_reproducible(found, batch_size=16)


def test_functions_in_jax_and_others():
  def center(images):
    maps = images[:, ::4, ::4]
    return {
      "alone": maps - maps.mean((1, 2), keepdims=True),
      "read": maps - maps.mean(0),
    }

  sizes = []

  def outside(pixels):
    sizes.append(len(pixels))
    return {name: np.asarray(array) for name, array in center(pixels).items()}

  for probe in (
    CallableProbe(center, TORCHVISION, image_size=32),
    CallableProbe(outside, TORCHVISION, image_size=32, compiled=False),
  ):
    found = try_layers(probe, ("alone", "read"), batch_size=4)
    assert [(one.layer, one.cause) for one in found.differences] == [
      ("read", Cause.BATCH)
    ]
  assert max(sizes) <= 13


def test_a_compiled_model_gets_batches_of_the_runs_size():
  traced = []

  def run(images):
    traced.append(len(images))
    return {"read": images[:, ::4, ::4]}

  probe = CallableProbe(run, TORCHVISION, image_size=32)
  probe.layers()
  traced.clear()
  try_layers(probe, ("read",), batch_size=3)
  probe.activations(np.zeros((3, 32, 32, 3), np.uint8), ("read",))
  assert traced == [3]


def test_a_generator_is_tried_on_its_latents():
  latents = trial_inputs((6,), classes=False, batch=7)

  class Generator(nn.Module):
    def __init__(self):
      super().__init__()
      torch.manual_seed(0)
      self.start = nn.Linear(6, 3 * 8 * 8)
      self.read = nn.Identity()

    def forward(self, given):
      codes = self.start(given)
      return self.read(codes - codes.mean(0)).view(-1, 3, 8, 8).tanh()

  generator = TorchGenerator(Generator(), (6,))
  found = try_layers(generator, ("start", "read"), batch_size=8, latents=latents)
  assert not found.failure
  assert [one.layer for one in found.differences] == ["read"]

  def function(given):
    codes = given[:, None, None, :3] * np.ones((1, 8, 8, 1), np.float32)
    return codes, {"start": codes, "read": codes - codes.mean(0, keepdims=True)}

  found = try_layers(
    JaxGenerator(function, (6,)), ("start", "read"), batch_size=4, latents=latents
  )
  assert [one.layer for one in found.differences] == ["read"]


def test_a_model_that_cannot_bear_grey_pictures_is_not_refused(capsys):
  def picky(maps):
    if maps.std() < 100 and len(maps) == 10:
      raise ValueError("too dull")
    return maps

  found = tried(picky)
  assert "too dull" in found.failure
  check_reproducible(found, batch_size=16)
  report_layouts(found)
  assert "not tested" in "".join(capsys.readouterr())
  assert "too dull" in format_report(found)


def test_what_is_shown_first_and_second():
  shown = []

  class Ear:
    image_size, num_devices = 32, 1

    def layers(self):
      return (LayerShape("read", 32, 32, 3),)

    def activations(self, images, layers):
      shown.append(images.copy())
      return {"read": images.astype(np.float32)}

  run_trial(Ear(), ("read",), batch_size=16)
  first, second = shown
  order = [
    [np.array_equal(image, other) for other in second].index(True)
    for image in first[:7]
  ]
  assert sorted(order) != order
  assert all(now != before for before, now in enumerate(order))
  # Other pictures are not in both batches, and extremes are in the first only.
  assert len(set(order)) == 7
  assert first.min() == 0
  assert second.min() > 0
