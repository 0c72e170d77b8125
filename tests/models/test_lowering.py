"""Convolution and pooling against torch, in both lowerings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from milan_jax._src.errors import UserError
from milan_jax._src.models import lowering

pytestmark = pytest.mark.usefixtures("optimized")  # to the last digits
LOWERINGS = ("cpu", "plain", "tpu")


def _random(seed, *shape):
  return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _relative(ours, theirs):
  ours, theirs = np.asarray(ours), np.asarray(theirs)
  assert ours.shape == theirs.shape
  return np.abs(ours - theirs).max() / np.abs(theirs).max()


def _torch(images):
  return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def _ours(outputs):
  return outputs.numpy().transpose(0, 2, 3, 1)


# batch, height, width, channels, features, size, stride, padding, groups: each way of
# the CPU's, at sides odd, even and unequal; then what falls through to the plain one.
CASES = {
  "depthwise": (2, 9, 12, 8, 8, 3, 1, 1, 8),
  "depthwise 5 x 5, stride 2": (2, 13, 10, 6, 6, 5, 2, 2, 6),
  "depthwise, unpadded": (1, 7, 7, 4, 4, 3, 2, 0, 4),
  "1 x 1": (2, 5, 7, 12, 10, 1, 1, 0, 1),
  "1 x 1, stride 2": (2, 7, 8, 12, 10, 1, 2, 0, 1),
  "winograd, even": (3, 8, 14, 64, 72, 3, 1, 1, 1),
  "winograd, odd": (2, 7, 13, 72, 64, 3, 1, 1, 1),
  "winograd, unpadded": (2, 9, 6, 64, 64, 3, 1, 0, 1),
  "winograd, wide padding": (2, 5, 6, 64, 64, 3, 1, 2, 1),
  "winograd, in chunks": (6, 56, 54, 64, 64, 3, 1, 1, 1),
  "gathered": (3, 11, 14, 5, 7, 3, 2, 1, 1),
  "gathered, in chunks": (6, 112, 112, 16, 8, 3, 2, 1, 1),
  "stem": (2, 30, 33, 3, 8, 7, 2, 3, 1),
  "stem, stride 4": (2, 63, 67, 3, 8, 11, 4, 2, 1),
  "grouped": (2, 8, 9, 8, 12, 3, 1, 1, 4),
  "depthwise, two features each": (2, 8, 9, 6, 12, 3, 1, 1, 6),
  "padded 1 x 1": (1, 4, 4, 3, 5, 1, 1, 1, 1),
}


@pytest.mark.parametrize("kind", LOWERINGS)
@pytest.mark.parametrize("case", CASES)
def test_conv_equals_torch(case, kind):
  batch, height, width, channels, features, size, stride, padding, groups = CASES[case]
  images = _random(0, batch, height, width, channels)
  kernel = _random(1, size, size, channels // groups, features)

  ours = jax.jit(
    lambda images, kernel: lowering.conv(
      images, kernel, stride=stride, padding=padding, groups=groups, lowering=kind
    )
  )(images, kernel)

  weight = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
  theirs = torch.nn.functional.conv2d(
    _torch(images), weight, stride=stride, padding=padding, groups=groups
  )
  assert _relative(ours, _ours(theirs)) < 1e-5


@pytest.mark.parametrize("kind", LOWERINGS)
@pytest.mark.parametrize("case", ["depthwise", "winograd, odd", "gathered", "stem"])
def test_each_side_may_have_its_own_padding(case, kind):
  batch, height, width, channels, features, size, stride, _, groups = CASES[case]
  images = _random(0, batch, height, width, channels)
  kernel = _random(1, size, size, channels // groups, features)
  (top, bottom), (left, right) = padding = (1, 2), (0, 3)
  ours = jax.jit(
    lambda images, kernel: lowering.conv(
      images, kernel, stride=stride, padding=padding, groups=groups, lowering=kind
    )
  )(images, kernel)
  theirs = torch.nn.functional.conv2d(
    torch.nn.functional.pad(_torch(images), (left, right, top, bottom)),
    torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))),
    stride=stride,
    groups=groups,
  )
  assert _relative(ours, _ours(theirs)) < 1e-5


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_is_that_of_xla(size, stride):
  for sides in ((7, 12), (9, 8)):
    strides = (stride, stride)
    expected = jax.lax.padtype_to_pads(sides, (size, size), strides, "SAME")
    assert list(lowering.same_padding(sides, size, stride)) == expected


@pytest.mark.parametrize(
  ("case", "absent"),
  [(name, name != "padded 1 x 1") for name in list(CASES)[:12]] + [("stem", False)],
)
def test_the_cpu_lowering_is_another_one(case, absent):
  """Or the test above would compare the plain convolution with itself."""
  batch, height, width, channels, features, size, stride, padding, groups = CASES[case]
  jaxpr = str(
    jax.make_jaxpr(
      lambda images, kernel: lowering.conv(
        images, kernel, stride=stride, padding=padding, groups=groups, lowering="cpu"
      )
    )(
      jnp.zeros((batch, height, width, channels)),
      jnp.zeros((size, size, channels // groups, features)),
    )
  )
  assert ("conv_general_dilated" not in jaxpr) == absent
  assert ("scan" in jaxpr) == ("chunks" in case)


@pytest.mark.parametrize(
  ("case", "rounding", "batch", "loops"),
  [
    ("stem", "float32", 2, 1),
    ("grouped", "float32", 2, 1),
    ("stem", "bfloat16", 2, 0),
    ("1 x 1", "float32", 2, 0),
    ("winograd, in chunks", "float32", 80, 1),
    ("winograd, in chunks", "float32", 90, 0),  # sums of 67 MB
  ],
)
def test_the_tpu_lowering_adds_products_of_bfloat16(case, rounding, batch, loops):
  _, height, width, channels, features, size, stride, padding, groups = CASES[case]
  with lowering.use_rounding(rounding):
    jaxpr = jax.make_jaxpr(
      lambda images, kernel: lowering.conv(
        images, kernel, stride=stride, padding=padding, groups=groups, lowering="tpu"
      )
    )(
      jax.ShapeDtypeStruct((batch, height, width, channels), jnp.float32),
      jax.ShapeDtypeStruct((size, size, channels // groups, features), jnp.float32),
    )
  assert str(jaxpr).count(" scan[") == loops
  assert ("bf16" in str(jaxpr)) == (loops == 1 or rounding == "bfloat16")
  assert jaxpr.out_avals[0].dtype == jnp.float32


def test_the_lowering_follows_the_backend_unless_chosen():
  backend = {"cpu": "cpu", "tpu": "tpu"}.get(jax.default_backend(), "plain")
  assert lowering.current_lowering() == backend
  with lowering.use_lowering("plain"):
    assert lowering.current_lowering() == "plain"
    with lowering.use_lowering("cpu"):
      assert lowering.current_lowering() == "cpu"
    assert lowering.current_lowering() == "plain"
  assert lowering.current_lowering() == backend


def test_chunks_divide_the_batch():
  quarter = lowering.CHUNK_BYTES // 4
  assert lowering._chunk_size(16, quarter) == 4
  assert lowering._chunk_size(6, quarter) == 3
  assert lowering._chunk_size(17, quarter) == 1
  assert lowering._chunk_size(2, quarter) == 2
  assert lowering._chunk_size(8, 2 * lowering.CHUNK_BYTES) == 1


@pytest.mark.parametrize(
  ("sides", "size", "stride", "padding"),
  [((7, 9), 3, 2, 0), ((8, 10), 3, 2, 1), ((9, 7), 2, 2, 0), ((5, 5), 3, 1, 1)],
)
def test_max_pool_equals_torch(sides, size, stride, padding):
  images = _random(2, 2, *sides, 3) - 5  # all negative: padding must not win
  ours = lowering.max_pool(
    jnp.asarray(images), size=size, stride=stride, padding=padding
  )
  theirs = torch.nn.functional.max_pool2d(_torch(images), size, stride, padding)
  np.testing.assert_array_equal(np.asarray(ours), _ours(theirs))


@pytest.mark.parametrize("size", [1, 6, 7])
@pytest.mark.parametrize("sides", [(1, 2), (6, 7), (13, 9), (14, 12)])
def test_adaptive_average_pool_equals_torch(sides, size):
  images = _random(3, 2, *sides, 3)
  ours = lowering.adaptive_average_pool(jnp.asarray(images), size)
  theirs = torch.nn.functional.adaptive_avg_pool2d(_torch(images), size)
  assert _relative(ours, _ours(theirs)) < 1e-6


def test_an_input_smaller_than_the_window_is_an_error():
  images = jnp.zeros((1, 2, 9, 3))
  with pytest.raises(UserError, match=r"2 x 9 pixels.*3 x 3: use larger images"):
    lowering.conv(images, jnp.zeros((3, 3, 3, 4)))
  with pytest.raises(UserError, match="window of 5 x 5"):
    lowering.max_pool(images, size=5, stride=2, padding=1)


@pytest.mark.parametrize("kind", LOWERINGS)
@pytest.mark.parametrize("case", ["1 x 1", "winograd, odd", "gathered", "stem"])
def test_rounding_to_bfloat16_is_near_and_is_rounding(case, kind):
  batch, height, width, channels, features, size, stride, padding, groups = CASES[case]
  images = jnp.asarray(_random(0, batch, height, width, channels))
  kernel = jnp.asarray(_random(1, size, size, channels // groups, features))

  def convolve():
    return lowering.conv(
      images, kernel, stride=stride, padding=padding, groups=groups, lowering=kind
    )

  exact = convolve()
  with lowering.use_rounding("bfloat16"):
    rounded = convolve()
  assert rounded.dtype == jnp.float32
  assert 1e-4 < _relative(rounded, exact) < 0.02


def test_a_backbone_is_compiled_anew_for_another_rounding():
  from milan_jax._src.models.backbones import backbone

  network = backbone("resnet18")
  params = network.init(jax.random.key(0))
  images = jnp.asarray(_random(0, 1, 64, 64, 3))
  exact = network.apply(params, images, ("layer2",))["layer2"]
  with lowering.use_rounding("bfloat16"):
    rounded = network.apply(params, images, ("layer2",))["layer2"]
  again = network.apply(params, images, ("layer2",))["layer2"]
  assert 1e-4 < _relative(rounded, exact) < 0.05
  np.testing.assert_array_equal(again, exact)
