"""What kernels prefer, by kernels whose preference is plain."""

import numpy as np
import pytest

from milan_jax._src.images.preprocessing import TORCHVISION
from milan_jax._src.lab.evaluation import stem
from milan_jax._src.lab.evaluation.kernels import Preference, preferences
from milan_jax._src.lab.evaluation.second_network import _for_torchvision
from milan_jax._src.text.judge import judge

MIDDLE = {"mean": (127.0,) * 3, "std": (128.0,) * 3}


def _gray(plane):
  return np.broadcast_to(plane, (3, *np.shape(plane))) / 3.0


@pytest.mark.parametrize("size", [3, 5, 7])
def test_edges_by_orientation(size):
  rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
  kernels = np.stack([_gray(each) for each in (rows, columns, rows + columns)])
  found = preferences(kernels, **MIDDLE)
  assert [found[unit].orientations for unit in range(3)] == [
    {"horizontal"},
    {"vertical"},
    {"rising"},
  ]
  assert not any(each.colors for each in found.values())


def test_colors_and_the_dead():
  flat = np.ones((3, 3)) / 9
  kernels = np.stack(
    [
      np.stack([flat, -flat, -flat]),
      np.stack([-flat, -flat, flat]),
      np.stack([-flat, -flat, -flat]),
      1e-6 * np.stack([flat, flat, flat]),
    ]
  )
  found = preferences(kernels, **MIDDLE)
  assert [sorted(found[unit].colors) for unit in (0, 1, 2)] == [
    ["red"],
    ["blue"],
    ["black"],
  ]
  assert 3 not in found and not found[0].orientations


def test_how_images_are_normalized_is_regarded():
  """Negated colors make another preference of the same kernel."""
  kernel = np.stack([np.ones((3, 3))] * 3)[None]
  bright = preferences(kernel, mean=(127.0,) * 3, std=(128.0,) * 3)
  dark = preferences(kernel, mean=(127.0,) * 3, std=(-128.0,) * 3)
  assert "white" in bright[0].colors and "black" in dark[0].colors


def test_the_judge_by_hand():
  red = Preference(frozenset({"red"}), frozenset()).truth()
  assert judge("Bright red things", red).lenient
  assert not judge("Bored people", red).lenient
  assert not judge("Green things with no red lines", red).lenient
  level = Preference(frozenset(), frozenset({"horizontal"})).truth()
  assert judge("Lines going from left to right", level).lenient
  assert not judge("Vertical edges", level).lenient
  upright = Preference(frozenset(), frozenset({"vertical"})).truth()
  assert not judge("Lines going from left to right", upright).lenient
  both = Preference(frozenset({"red"}), frozenset({"vertical"})).truth()
  assert judge("red things", both) == judge("upright lines", both)
  assert judge("red things", both).lenient and not judge("red things", both).strict
  assert judge("red poles", both).strict


def test_a_filter_for_most_orientations_wants_one_of_them():
  """As the judge was before it was seen at work: "outlines" is not enough."""
  most = Preference(
    frozenset(), frozenset({"horizontal", "vertical", "rising"})
  ).truth()
  assert not judge("outlines", most).lenient and judge("slanted lines", most).lenient


def test_the_stem_has_four_dead_filters():
  assert stem.kernels().shape == (32, 3, 3, 3)
  assert {unit.index for unit in stem.truths()} == set(range(32)) - {11, 16, 28, 31}


def test_first_kernels_for_other_preprocessing_compute_the_same():
  rng = np.random.default_rng(0)
  kernel = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
  bias = rng.standard_normal(4).astype(np.float32)
  patch = rng.integers(0, 256, (3, 3, 3))  # red, green, blue
  blue_first = patch[::-1] - np.array([104.00699, 116.66877, 122.67892])[:, None, None]
  wanted = np.einsum("ucij,cij->u", kernel, blue_first) + bias
  mean, std = (np.array(x)[:, None, None] for x in (TORCHVISION.mean, TORCHVISION.std))
  ours, shifted = _for_torchvision(kernel, bias)
  found = np.einsum("ucij,cij->u", ours, (patch - mean) / std) + shifted
  np.testing.assert_allclose(found, wanted, rtol=1e-4)
