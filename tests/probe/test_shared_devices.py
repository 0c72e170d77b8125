"""Torch models on a device that JAX uses, too: arrays by DLPack, and memory.

A CPU's tensors stand for a GPU's: JAX imports both the same way.
"""

import dataclasses
import os

import jax
import numpy as np
import pytest
import torch

from milan_jax._src.commands import main
from milan_jax._src.exemplars.accumulation import CollectOptions, collect
from milan_jax._src.exemplars.stats import LayerStatistics
from milan_jax._src.images.arrays import ArrayImages
from milan_jax._src.probe import torch_layers
from milan_jax._src.probe.torch_module import TorchProbe
from milan_jax._src.probe.torch_weights import torch_device
from milan_jax._src.runs.memory import return_freed_memory
from tests.helpers.tiny_network import build

VARIABLE = "XLA_PYTHON_CLIENT_PREALLOCATE"
LAYERS = ("0", "1", "2")


def _tensor(*shape):
  return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


TENSORS = {
  "contiguous": _tensor(2, 5, 4, 3),
  "channels last": _tensor(2, 5, 4, 3).contiguous(memory_format=torch.channels_last),
  "tokens": _tensor(2, 7, 5),
  "transposed tokens": _tensor(2, 7, 5).transpose(1, 2),
  "a part": _tensor(2, 5, 8, 9)[:, 1:4, ::2],
  "repeated": _tensor(2, 1, 4, 3).expand(2, 5, 4, 3),
  "half precision": _tensor(2, 5, 4, 3).half(),
  "with a gradient": _tensor(2, 3).requires_grad_(),
}


@pytest.fixture
def shared_device(monkeypatch):
  monkeypatch.setattr(torch_layers, "_jax_devices", lambda: frozenset({("cpu", None)}))


@pytest.mark.parametrize("tensor", TENSORS.values(), ids=TENSORS)
def test_tensors_become_jax_arrays(shared_device, tensor):
  found = torch_layers.as_array(tensor)
  assert isinstance(found, jax.Array) and found.dtype == np.float32
  np.testing.assert_array_equal(found, tensor.detach().float().numpy())


def test_without_such_a_device_they_are_numpy_arrays_that_share_memory():
  tensor = TENSORS["channels last"]
  found = torch_layers.as_array(tensor)
  assert isinstance(found, np.ndarray)
  assert found.ctypes.data == tensor.data_ptr()


def test_a_model_there_gives_the_same_exemplars(shared_device, monkeypatch):
  images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)

  def run():
    probe = TorchProbe(build(), 32)
    found = probe.activations(images[:4], LAYERS)
    whole = collect(
      probe, ArrayImages(images), LAYERS, CollectOptions(k=3, batch_size=4)
    )
    return found, whole.layers

  on_device, theirs = run()
  monkeypatch.undo()
  on_host, ours = run()
  assert all(isinstance(array, jax.Array) for array in on_device.values())
  for name in LAYERS:
    np.testing.assert_array_equal(on_device[name], on_host[name])
    for field in dataclasses.fields(LayerStatistics):
      one, other = (getattr(whole[name], field.name) for whole in (theirs, ours))
      np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("door", [main._prepare_jax, lambda: torch_device("cpu")])
def test_jax_leaves_the_memory_that_it_does_not_use(door, monkeypatch):
  monkeypatch.setenv(VARIABLE, "")
  monkeypatch.delenv(VARIABLE)
  door()
  assert os.environ[VARIABLE] == "false"
  monkeypatch.setenv(VARIABLE, "true")
  door()
  assert os.environ[VARIABLE] == "true"


def test_torch_gives_back_what_its_activations_took(monkeypatch):
  calls = []
  monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
  monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
  monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("emptied"))
  return_freed_memory()
  assert calls == ["emptied"]
