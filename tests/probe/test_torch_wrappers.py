"""Modules wrapped by torch.compile, TorchScript or a parallel wrapper."""

import numpy as np
import pytest
import torch
from torch import nn

from milan_jax._src.errors import UserError
from milan_jax._src.probe.torch_module import TorchProbe
from milan_jax._src.probe.torch_wrappers import unwrap_module

# Modules that torch imports for its compilers emit warnings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)


def net():
  torch.manual_seed(0)
  return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))


def part_compiled():
  whole = net()
  whole[2] = torch.compile(whole[2])
  return whole


def compiled_in_place():
  whole = net()
  whole.compile()
  whole[0].compile()
  return whole


WRAPPED = {
  "compiled": lambda: torch.compile(net()),
  "a part compiled": part_compiled,
  "compiled in place": compiled_in_place,
  "parallel": lambda: nn.DataParallel(net()),
  "parallel, compiled": lambda: nn.DataParallel(torch.compile(part_compiled())),
}


@pytest.mark.parametrize("make", WRAPPED.values(), ids=WRAPPED)
def test_the_module_inside_is_read(make):
  expected = TorchProbe(net(), 16)
  probe = TorchProbe(unwrap_module(make(), "nets:net"), 16)
  assert probe.layers() == expected.layers()
  np.testing.assert_array_equal(
    probe.activations(IMAGES, ("2",))["2"], expected.activations(IMAGES, ("2",))["2"]
  )


def test_torchscript_is_refused_in_one_sentence():
  traced = torch.jit.trace(net().eval(), torch.zeros(1, 3, 16, 16))
  for module in (traced, torch.jit.script(net()), nn.DataParallel(traced)):
    with pytest.raises(UserError, match=r"^model=nets:it is a TorchScript .*export"):
      unwrap_module(module, "nets:it")


def test_of_a_module_with_a_scripted_part_the_others_are_read():
  whole = net()
  whole[1] = torch.jit.script(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()))
  probe = TorchProbe(unwrap_module(whole, "nets:it"), 16)
  assert [layer.name for layer in probe.layers()] == ["0", "2"]
