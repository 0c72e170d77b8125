"""White squares correct layouts, or drop or mark layers that do not follow them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import TORCHVISION
from milan_jax._src.models.backbones import backbone
from milan_jax._src.probe.flax_backbone import FlaxProbe
from milan_jax._src.probe.layout import parse_layout, parse_layouts, to_nhwc
from milan_jax._src.probe.linen_module import LinenProbe
from milan_jax._src.probe.white_square import (
  NUM_SQUARES,
  Order,
  locate_squares,
  pictures,
)

torch = pytest.importorskip("torch")

from milan_jax._src.probe.torch_module import TorchProbe  # noqa: E402
from milan_jax._src.probe.trial_report import (  # noqa: E402
  format_report,
  layout_error,
  report_layouts,
  try_layers,
)
from tests.probe import orders  # noqa: E402


def layouts(module, **options):
  probe = TorchProbe(module, 32, **options)
  return {shape.name: shape.layout for shape in probe.layers()}


def test_a_square_is_where_it_is_said_to_be():
  shown = pictures(32, 48, 2)
  assert shown.shape == (1 + NUM_SQUARES, 32, 48, 2)
  assert (shown[0] == 128).all()
  rows, columns, _ = np.nonzero(shown[1] == 255)
  assert (rows.min(), rows.max()) == (4, 7)
  assert (columns.min(), columns.max()) == (18, 23)
  assert len(rows) == 4 * 6 * 2 == (shown[1] != 128).sum()


def test_what_is_seen_in_arrays_of_known_order():
  maps = pictures(16, 16).astype(np.float32)
  assert locate_squares(maps).order is Order.FOLLOWS
  assert locate_squares(maps).share == pytest.approx(1)
  turned = np.rot90(maps, axes=(1, 2))
  assert locate_squares(turned).order is Order.ELSEWHERE
  everywhere = maps * 0 + maps.mean((1, 2), keepdims=True)
  assert locate_squares(everywhere).order is Order.UNCLEAR
  assert locate_squares(np.zeros_like(maps)).order is Order.UNCLEAR
  nothing = np.full_like(maps, np.nan)
  assert locate_squares(nothing).order is Order.UNCLEAR
  # The same few positions change every time, which shows nothing about their order.
  sink = np.zeros_like(maps)
  sink[1:, 9, 2] = 1
  assert locate_squares(sink).order is Order.UNCLEAR
  shift_by = np.roll(maps.reshape(7, 256, 3), -3, axis=1).reshape(maps.shape)
  assert locate_squares(shift_by, max_shift=5).shift_by == 3


@pytest.mark.parametrize(
  ("module", "layout"),
  [
    (orders.Patches, "NLC"),
    (orders.Unrolled, "NLC:unroll=2"),
    (orders.Blocks, "windows:side=4"),
    (orders.BlocksInOneAxis, "windows:side=4"),
    (lambda: orders.Beside(1, 5), "NLC:special=1:after=5"),
    (lambda: orders.Beside(0, 1), "NLC:after=1"),
    (lambda: orders.Beside(2, 2), "NLC:special=2:after=2"),
    (lambda: orders.Beside(5, 0), "NLC:special=5"),
  ],
)
def test_tokens_are_read_in_the_order_in_which_they_are(module, layout):
  model = module()
  probe = TorchProbe(model, 32)
  assert {one.name: one.layout for one in probe.layers()} == {
    "cut": "NCHW",
    "norm": layout,
    "fc1": layout,
  }
  # Each patch's values, from its own pixels.
  images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
  found = probe.activations(images, ("norm", "cut"))
  with torch.no_grad():
    want = model.norm(torch.from_numpy(np.array(found["cut"]))).numpy()
  np.testing.assert_allclose(found["norm"], want, atol=1e-5)


@pytest.mark.parametrize(
  ("module", "absent"),
  [
    (orders.Mixer, ("mlp_tokens.0", "mlp_tokens.1")),
    (orders.Queries, ("out", "attention")),
  ],
)
def test_what_is_no_place_is_not_listed(module, absent):
  found = layouts(module())
  assert found["fc1"] == "NLC"
  assert not set(absent) & set(found)
  # The user's layout is not overridden.
  kept = layouts(module(), layouts=parse_layouts(f"{absent[0]}=NLC"))
  assert kept[absent[0]] == "NLC"


def test_a_pooled_vector_has_one_place():
  probe = TorchProbe(orders.Pooled(), 32)
  pooled = next(one for one in probe.layers() if one.name == "pooler")
  assert (pooled.height, pooled.width, pooled.units) == (1, 1, 36)


def test_a_layout_that_the_user_set_is_kept_and_said(capsys):
  # Hiera's order of tokens, which the user mistook for row-major order.
  given = parse_layouts("fc1=NLC")
  probe = TorchProbe(orders.Unrolled(), 32, layouts=given)
  tried = try_layers(probe, ("cut", "fc1"), batch_size=8)
  assert layout_error(tried, "fc1") == ""
  report_layouts(tried)
  assert "fc1 is read as set by the user, although" in capsys.readouterr().err
  assert next(one.layout for one in tried.shapes if one.name == "fc1") == "NLC"


@pytest.mark.parametrize(
  ("module", "layer"), [(orders.Columns, "fc1"), (orders.Turned, "turned")]
)
def test_an_order_that_no_layout_says_is_refused(module, layer):
  probe = TorchProbe(module(), 32)
  tried = try_layers(probe, ("cut", layer), batch_size=8)
  assert "not in the order of the picture" in layout_error(tried, layer)
  assert f"--layouts {layer}=" in layout_error(tried, layer)
  assert layout_error(tried, "cut") == ""
  assert "elsewhere" in format_report(tried)
  assert "set its layout" in probe.notes().get(layer, "set its layout")


class Attention(nn.Module):
  @nn.compact
  def __call__(self, images):
    tokens = nn.Conv(16, (4, 4), strides=4, name="cut")(images)
    tokens = tokens.reshape(len(images), -1, 16)
    first = self.param("cls", nn.initializers.normal(1.0), (1, 1, 16))
    first = jnp.broadcast_to(first, (len(images), 1, 16))
    tokens = nn.LayerNorm(name="norm")(jnp.concatenate([first, tokens], axis=1))
    attention = nn.MultiHeadDotProductAttention(2, name="attention")(tokens)
    return nn.Dense(24, name="fc1")(tokens + attention)


def test_heads_of_a_flax_attention_are_not_positions():
  module = Attention()
  variables = module.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
  probe = LinenProbe(module, variables, TORCHVISION, image_size=32)
  found = {one.name: one.layout for one in probe.layers()}
  assert not {"attention.query", "attention.key", "attention.value"} & set(found)
  tried = try_layers(probe, ("norm",), batch_size=10)
  assert tried.layout_check.orders == {"norm": Order.FOLLOWS}
  assert found["fc1"] == "NLC:special=1"


class UnrolledInFlax(nn.Module):
  @nn.compact
  def __call__(self, images):
    maps = nn.Conv(16, (4, 4), strides=4, name="cut")(images)
    parts = maps.reshape(len(maps), 2, 2, 2, 2, 2, 2, 16)
    tokens = parts.transpose(0, 3, 6, 2, 5, 1, 4, 7).reshape(len(maps), 64, 16)
    return nn.LayerNorm(name="norm")(tokens)


def test_a_compiled_model_is_read_in_another_order_too():
  module = UnrolledInFlax()
  variables = module.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
  probe = LinenProbe(module, variables, TORCHVISION, image_size=32)
  tried = try_layers(probe, ("norm",), batch_size=10)
  assert tried.layout_check.corrected == {"norm": "NLC"}
  found = {one.name: one.layout for one in probe.layers()}
  assert found["norm"] == "NLC:unroll=2"
  images = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), np.uint8)
  found = probe.activations(images, ("cut", "norm"))
  want = nn.LayerNorm().apply(
    {"params": variables["params"]["norm"]}, np.asarray(found["cut"])
  )
  np.testing.assert_allclose(found["norm"], want, atol=1e-5)


@pytest.mark.parametrize(
  ("name", "size"),
  [
    ("efficientnet-lite0", 96),
    ("resnet18", 96),
    ("resnet50", 64),
    ("vgg11_bn", 64),
    ("alexnet", 96),
  ],
)
def test_our_backbones_see_squares_where_they_are(name, size):
  network = backbone(name)
  params = jax.eval_shape(network.init, jax.random.key(0))
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: rng.standard_normal(leaf.shape, np.float32) * leaf.size**-0.3, params
  )
  probe = FlaxProbe(network, params, size)
  shapes = {one.name: one for one in probe.layers()}
  layers = [one for one in network.default_layers if shapes[one].height >= 4][:3]
  found = probe.activations(pictures(size, size), tuple(layers))
  orders = {name: locate_squares(np.asarray(found[name])).order for name in layers}
  assert Order.ELSEWHERE not in orders.values(), orders
  assert orders[layers[0]] is Order.FOLLOWS


@pytest.mark.parametrize("times", [1, 2, 3])
def test_unrolled_tokens_are_put_back(times):
  maps = np.arange(2 * 256 * 3, dtype=np.float32).reshape(2, 16, 16, 3)
  tokens = maps
  for _ in range(times):
    # From the innermost maps outwards, as in Hiera.
    tokens = tokens.reshape(-1, *tokens.shape[-3:])
    number, side = len(tokens), tokens.shape[1] // 2
    parts = tokens.reshape(number, side, 2, side, 2, 3).transpose(0, 2, 4, 1, 3, 5)
    tokens = parts.reshape(number * 4, side, side, 3)
  tokens = tokens.reshape(2, 256, 3)
  layout = parse_layout(f"NLC:unroll={times}")
  np.testing.assert_array_equal(to_nhwc(tokens, "a", layout, batch=2), maps)
  behind = np.concatenate([tokens, tokens[:, :2]], axis=1)
  layout = parse_layout(f"NLC:after=2:unroll={times}")
  assert str(layout) == f"NLC:after=2:unroll={times}"
  np.testing.assert_array_equal(to_nhwc(behind, "a", layout, batch=2), maps)


def test_no_unrolling_that_does_not_fit():
  with pytest.raises(UserError, match="cannot be read as NLC:unroll=3"):
    to_nhwc(np.zeros((2, 144, 3)), "a", parse_layout("NLC:unroll=3"), batch=2)
