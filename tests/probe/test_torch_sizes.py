"""Torch modules that need another size or another input than they get."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from milan_jax._src.errors import UserError
from milan_jax._src.probe.torch_module import TorchProbe


class Net(nn.Module):
  """For images of 8 x 8; `flat` flattens its maps."""

  def __init__(self, flat):
    super().__init__()
    self.conv = nn.Conv2d(3, 4, 3)
    self.fc = nn.Linear(4 * 36, 5)
    self.flat = flat

  def forward(self, images):
    return self.fc(self.flat(self.conv(images)))


FLAT = {
  "view": lambda x: x.view(x.size(0), -1),
  "view of a length": lambda x: x.view(len(x), -1),
  "view of a number": lambda x: x.view(-1, 4 * 36),
  "reshape to a number": lambda x: x.reshape(len(x), 4 * 36),
  "flatten": lambda x: torch.flatten(x, 1),
  # First the memory format of pixels is wrong, then the dtype.
  "embedding": lambda x: functional.embedding(x.view(len(x), -1), torch.zeros(9, 2)),
}


@pytest.mark.parametrize("flat", FLAT)
def test_the_size_is_said(flat):
  message = r"does not run on images of 11 x 11 pixels.*check the size \(image_size\)"
  with pytest.raises(UserError, match=message):
    TorchProbe(Net(FLAT[flat]), 11).layers()


@pytest.mark.parametrize("flat", [name for name in FLAT if name != "embedding"])
def test_the_right_size_is_read(flat):
  shapes = TorchProbe(Net(FLAT[flat]), 8).layers()
  assert [(one.name, one.units) for one in shapes] == [("conv", 4), ("fc", 5)]


class Two(Net):
  def forward(self, images, sizes):
    return super().forward(images) + sizes


def test_a_second_input_is_said():
  with pytest.raises(UserError, match=r"'sizes'.*that it takes one tensor of images"):
    TorchProbe(Two(FLAT["view"]), 8).layers()
