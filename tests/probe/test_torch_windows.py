"""Vision transformers, where every position must be that of its patch."""

import numpy as np
import pytest
import torch
from torch import nn

from milan_jax._src.probe.layout import Layout
from milan_jax._src.probe.torch_module import TorchProbe
from milan_jax._src.probe.torch_windows import Windows

transformers = pytest.importorskip("transformers")
swin = pytest.importorskip("transformers.models.swin.modeling_swin")


@pytest.fixture
def images():
  return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)


def swin_model(window, size=64):
  torch.manual_seed(0)
  config = transformers.SwinConfig(
    image_size=size,
    patch_size=4,
    embed_dim=8,
    depths=[2, 2],
    num_heads=[2, 2],
    window_size=window,
  )
  return transformers.SwinModel(config, add_pooling_layer=False).eval()


def attended_maps(model, blocks, images):
  """The output of attention, as the model's own code joins its windows.

  A block computes `x + attended` and passes it to its second norm, so that the norm's
  input minus the block's input is the map.
  """
  before, after, hooks = {}, {}, []
  for name in blocks:
    block = model.get_submodule(name)

    def enter(module, args, name=name):
      before[name] = args[0]

    def go_on(module, args, name=name):
      after[name] = args[0]

    hooks.append(block.register_forward_pre_hook(enter))
    hooks.append(block.layernorm_after.register_forward_pre_hook(go_on))
  mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
  pixels = ((images / 255 - mean) / std).transpose(0, 3, 1, 2)
  with torch.no_grad():
    model(torch.from_numpy(pixels).float())
  for hook in hooks:
    hook.remove()
  maps = {}
  for name in blocks:
    attended = (after[name] - before[name]).numpy()
    side = int(attended.shape[1] ** 0.5)
    maps[name] = attended.reshape(len(images), side, side, -1)
  return maps


# Maps of 16 x 16, then 8 x 8: windows that fit, that need padding, and as large as the
# second map, which is not shifted then.
@pytest.mark.parametrize(
  ("window", "layouts"),
  [
    (4, ("side=4", "side=4:shift=2", "side=4", "side=4:shift=2")),
    (
      3,
      (
        "grid=16x16:side=3",
        "grid=16x16:side=3:shift=1",
        "grid=8x8:side=3",
        "grid=8x8:side=3:shift=1",
      ),
    ),
    (8, ("side=8", "side=8:shift=4", None, None)),
  ],
)
def test_swins_windows_are_put_back(images, window, layouts):
  model = swin_model(window)
  probe = TorchProbe(model, 64)
  shapes = {shape.name: shape for shape in probe.layers()}
  blocks = [
    f"encoder.layers.{stage}.blocks.{index}" for stage in (0, 1) for index in (0, 1)
  ]
  want = attended_maps(model, blocks, images)
  inner = ("attention.o_proj", "attention")
  found = probe.activations(
    images, tuple(f"{block}.{part}" for block in blocks for part in inner)
  )
  for block, layout in zip(blocks, layouts, strict=True):
    for part in inner:
      name = f"{block}.{part}"
      assert shapes[name].layout == (f"windows:{layout}" if layout else "NLC")
      np.testing.assert_allclose(found[name], want[block], atol=1e-5)
    # Outside the windows.
    assert shapes[f"{block}.mlp"].layout == "NLC"
    assert shapes[f"{block}.layernorm_after"].layout == "NLC"
  assert np.abs(want[blocks[1]]).max() > 1e-3


def test_a_changed_patch_changes_its_place(images):
  model = swin_model(3)
  probe = TorchProbe(model, 64)
  # Before attention mixes them, values depend on one position each in the first block,
  # and in the shifted second block mostly on their own position.
  first = "encoder.layers.0.blocks.0.attention.v_proj"
  changed = images.copy()
  changed[:, 20:24, 36:40] ^= 255  # the patch in row 5, column 9
  before = probe.activations(images, (first,))[first]
  after = probe.activations(changed, (first,))[first]
  rows, columns = np.nonzero(np.abs(after - before).max((0, 3)) > 1e-6)
  assert (set(rows), set(columns)) == ({5}, {9})
  second = "encoder.layers.0.blocks.1.attention.v_proj"
  before = probe.activations(images, (second,))[second]
  after = probe.activations(changed, (second,))[second]
  change = np.abs(after - before).sum((0, 3))
  assert np.unravel_index(change.argmax(), change.shape) == (5, 9)


@pytest.mark.parametrize("special", [1, 2])
def test_tokens_are_not_shifted_by_one(images, special):
  torch.manual_seed(0)
  config = {
    "image_size": 64,
    "patch_size": 16,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
  }
  if special == 1:
    kinds = transformers.ViTConfig, transformers.ViTModel
  else:  # a second token, for distillation
    kinds = transformers.DeiTConfig, transformers.DeiTModel
  model = kinds[1](kinds[0](**config), add_pooling_layer=False)
  probe = TorchProbe(model, 64)
  shapes = {shape.name: shape for shape in probe.layers()}
  assert shapes["embeddings"].layout == f"NLC:special={special}"
  last = [name for name in shapes if name.endswith("layernorm")][-1]
  assert shapes[last].layout == f"NLC:special={special}"
  changed = images.copy()
  changed[:, 16:32, 48:64] ^= 255  # the patch in row 1, column 3
  before = probe.activations(images, ("embeddings", last))
  after = probe.activations(changed, ("embeddings", last))
  rows, columns = np.nonzero(
    np.abs(after["embeddings"] - before["embeddings"]).max((0, 3)) > 1e-6
  )
  assert (rows.tolist(), columns.tolist()) == ([1], [3])
  change = np.abs(after[last] - before[last]).sum((0, 3))
  assert np.unravel_index(change.argmax(), change.shape) == (1, 3)


class Block(nn.Module):
  """The attributes of torchvision's and timm's blocks."""

  def __init__(self, side, shift):
    super().__init__()
    self.window_size, self.shift_size = side, shift
    self.attn = nn.Identity()


@pytest.mark.parametrize(
  ("side", "shift", "size", "shape", "layout"),
  [
    ((4, 4), [2, 2], (8, 8), (8, 16, 5), Layout("windows", side=4, shift=2)),
    (4, 0, (8, 8), (8, 4, 4, 5), Layout("windows", side=4)),
    (4, 1, (6, 8), (8, 16, 5), Layout("windows", side=4, shift=1, grid=(6, 8))),
    # A single window.
    (4, 1, (4, 4), (2, 16, 5), Layout("windows", side=4, shift=1)),
    (4, 1, (3, 3), (2, 16, 5), Layout("windows", side=4, shift=1, grid=(3, 3))),
    # Not windows: different sides, too few windows, attention weights.
    ((4, 2), 0, (8, 8), (8, 16, 5), None),
    (4, 0, (16, 16), (8, 16, 5), None),
    (4, 0, (8, 8), (8, 2, 16, 16), None),
    (4, 0, (8, 8), (2, 64, 5), None),
  ],
)
def test_blocks_that_say_so(side, shift, size, shape, layout):
  model = nn.Sequential(Block(side, shift))
  windows = Windows(model, 2)
  assert windows.layout("0.attn", shape) is None  # did not run
  for given in (
    [torch.zeros(2, *size, 5)],
    [torch.zeros(2, size[0] * size[1], 5), size],
  ):
    windows.enter("0", given)
    assert windows.layout("0.attn", shape) == layout
    assert windows.layout("0.norm", (2, size[0] * size[1], 5)) is None


def test_timm_shifts_before_it_pads():
  windows = Windows(nn.Sequential(Block(4, 1)), 2)
  windows.enter("0", [torch.zeros(2, 6, 6, 5)])
  assert windows.layout("0.attn", (8, 16, 5))
  kind = type("TimmBlock", (Block,), {"__module__": "timm.models.swin_transformer"})
  windows = Windows(nn.Sequential(kind(4, 1)), 2)
  windows.enter("0", [torch.zeros(2, 6, 6, 5)])
  assert windows.layout("0.attn", (8, 16, 5)) is None
