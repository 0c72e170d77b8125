"""Outputs of torch modules of unusual kinds, and why others are not layers."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from torch import nn

from milan_jax._src.errors import UserError
from milan_jax._src.probe.torch_module import TorchProbe
from milan_jax._src.probe.unit_selection import select_layers

# Torch deprecates quantized tensors.
pytestmark = pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
SCALE, ZERO = 0.05, 128


@dataclasses.dataclass
class Result:
  maps: torch.Tensor
  classes: torch.Tensor
  more: tuple[torch.Tensor, ...]


class Records(nn.Module):
  def forward(self, x):
    return Result(2 * x, x.argmax(1), (x.mean((2, 3)),))


class Quantized(nn.Module):
  def forward(self, x):
    return torch.quantize_per_tensor(x, SCALE, ZERO, torch.quint8)


class Volume(nn.Module):
  def forward(self, x):
    return x[:, :, None]


class Classes(nn.Module):
  def forward(self, x):
    return x.argmax(1)


class Model(nn.Module):
  def __init__(self):
    super().__init__()
    torch.manual_seed(0)
    self.conv = nn.Conv2d(3, 4, 3)
    self.again = self.conv
    self.records, self.quantized = Records(), Quantized()
    self.volume, self.classes = Volume(), Classes()
    self.unused = nn.Linear(1, 1)

  def forward(self, x):
    x = self.conv(x)
    self.records(x), self.volume(x), self.classes(x)
    return self.quantized(x).dequantize()


@pytest.fixture(scope="module")
def probe():
  return TorchProbe(Model(), 16)


def test_dataclasses_and_quantized_tensors_are_layers(probe):
  layers = ("conv", "records", "records[more][0]", "quantized")
  assert {*layers} <= {layer.name for layer in probe.layers()}
  found = probe.activations(IMAGES, layers)
  maps = found["conv"]
  np.testing.assert_array_equal(found["records"], 2 * maps)
  np.testing.assert_allclose(
    found["records[more][0]"][:, 0, 0], maps.mean((1, 2)), atol=1e-6
  )
  levels = np.clip(np.rint(maps / np.float32(SCALE)) + ZERO, 0, 255)
  np.testing.assert_allclose(found["quantized"], SCALE * (levels - ZERO), atol=1e-5)
  assert len(np.unique(levels)) > 20


@pytest.mark.parametrize(
  ("name", "why"),
  [
    (
      "classes",
      "classes returns a tensor of int64, in which no tensor of real numbers",
    ),
    (
      "volume",
      r"volume returns an array of shape \(5, 4, 1, 14, 14\); .* set --layouts",
    ),
    ("again", "again is the same object as conv, which is the layer's name"),
    ("unused", "unused does not run for images"),
    ("7", "There is no layer 7"),
    ("convs", "has no layer 'convs'. Did you mean conv"),
  ],
)
def test_what_is_not_a_layer_is_explained(probe, name, why):
  known = [layer.name for layer in probe.layers()]
  with pytest.raises(UserError) as error:
    select_layers(known, name, absence=probe.absence)
  assert re.search(why, error.value.for_command_line)


def test_a_number_is_a_submodule_before_it_is_an_index():
  probe = TorchProbe(nn.Sequential(nn.Conv2d(3, 4, 3), Classes(), nn.Identity()), 16)
  known = [layer.name for layer in probe.layers()]
  assert known == ["0"]
  with pytest.raises(UserError, match="Module 1 returns a tensor of int64"):
    select_layers(known, "1", absence=probe.absence)
