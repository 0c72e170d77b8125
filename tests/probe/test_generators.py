import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

from milan_jax._src.errors import UserError
from milan_jax._src.probe.jax_generator import JaxGenerator
from milan_jax._src.probe.latent_inputs import to_rgb_pixels, trial_inputs
from milan_jax._src.probe.protocol import Generator
from milan_jax._src.probe.torch_generator import TorchGenerator
from milan_jax._src.records import LayerShape

RNG = np.random.default_rng(0)
DENSE = RNG.standard_normal((6, 5 * 16)).astype(np.float32)
COLORS = RNG.standard_normal((5, 3)).astype(np.float32)
NAMES = RNG.standard_normal((10, 6)).astype(np.float32)


class Gan(nn.Module):
  """A linear layer to 4 x 4, a ReLU6, upsampling by 2, and a layer to RGB."""

  def __init__(self, *, kind="tensor"):
    super().__init__()
    self.kind = kind
    self.names = nn.Embedding.from_pretrained(torch.tensor(NAMES))
    self.dense = nn.Linear(6, 80, bias=False)
    self.relu = nn.ReLU6(inplace=True)
    self.grow = nn.Upsample(scale_factor=2)
    self.drop = nn.Dropout(0.5)
    self.colors = nn.Conv2d(5, 3, 1, bias=False)
    with torch.no_grad():
      self.dense.weight.copy_(torch.tensor(DENSE.T))
      self.colors.weight.copy_(torch.tensor(COLORS.T[..., None, None]))

  def forward(self, latents, classes=None):
    if classes is not None:
      latents = latents + self.names(classes)
    x = self.dense(latents).reshape(-1, 5, 4, 4)
    x = self.colors(self.drop(self.grow(self.relu(x))))
    return {"tensor": x, "tuple": (x, latents), "dict": {"images": x}}[self.kind]


def answers(inputs):
  """Activations and images, computed in NumPy, channels last."""
  latents = inputs["latent"]
  if "class" in inputs.dtype.names:
    latents = latents + NAMES[inputs["class"]]
  dense = latents @ DENSE
  maps = dense.reshape(-1, 5, 4, 4).transpose(0, 2, 3, 1)
  large = maps.clip(0, 6).repeat(2, 1).repeat(2, 2)
  colors = large @ COLORS
  images = np.round((colors.clip(-2, 3) + 2) / 5 * 255)
  return {
    "dense": dense[:, None, None],
    "relu": maps.clip(min=0),
    "grow": large,
    "colors": colors,
  }, images


def records(number, *, classes, seed=1):
  rng = np.random.default_rng(seed)
  inputs = trial_inputs((6,), classes=classes, batch=number)
  inputs["latent"] = rng.standard_normal((number, 6))
  if classes:
    inputs["class"] = rng.integers(0, 10, number)
  return inputs


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("kind", ["tensor", "tuple", "dict"])
def test_a_torch_generator(kind, classes):
  generator = TorchGenerator(
    Gan(kind=kind), (6,), classes=classes, image_range=(-2.0, 3.0)
  )
  assert isinstance(generator, Generator)
  assert generator.image_size == 8
  shapes = [one for one in generator.layers() if one.name != "names"]
  assert shapes == [
    LayerShape("dense", 1, 1, 80),
    LayerShape("relu", 4, 4, 5),
    LayerShape("grow", 8, 8, 5),
    LayerShape("drop", 8, 8, 5),
    LayerShape("colors", 8, 8, 3),
  ]
  assert generator.notes() == {"relu": "before its clip at 6"}
  inputs = records(4, classes=classes)
  want, images = answers(inputs)
  found = generator.activations(inputs, tuple(want))
  for name in want:
    np.testing.assert_allclose(found[name], want[name], atol=1e-5, err_msg=name)
  np.testing.assert_allclose(generator.images(inputs), images, atol=1)
  assert generator.images(inputs).dtype == np.uint8


def test_a_generator_that_changes_its_latents():
  class Normalizing(Gan):
    def forward(self, latents, classes=None):
      return super().forward(latents.mul_(0.5).add_(1), classes)

  inputs = records(4, classes=False)
  before = inputs.copy()
  changed = before.copy()
  changed["latent"] = before["latent"] * 0.5 + 1
  want, images = answers(changed)
  generator = TorchGenerator(Normalizing(), (6,), image_range=(-2.0, 3.0))
  for _ in range(2):
    np.testing.assert_allclose(generator.images(inputs), images, atol=1)
    found = generator.activations(inputs, ("dense", "relu"))
    np.testing.assert_allclose(found["dense"], want["dense"], atol=1e-5)
    np.testing.assert_allclose(found["relu"], want["relu"], atol=1e-5)
  np.testing.assert_array_equal(inputs, before)


def gan(latents, classes=None):
  if classes is not None:
    latents = latents + NAMES[classes]
  dense = latents @ DENSE
  maps = dense.reshape(-1, 5, 4, 4).transpose(0, 2, 3, 1)
  large = jnp.clip(maps, 0, 6).repeat(2, 1).repeat(2, 2)
  colors = large @ COLORS
  named = {"relu": jnp.maximum(maps, 0), "dense": dense, "grow": large}
  return colors, {**named, "colors": colors, "count": jnp.arange(3)}


@pytest.mark.parametrize(
  ("returned", "names"),
  [
    (lambda images, dense: (images, dense), ["output"]),
    (lambda images, dense: [images, (images > 0, dense)], ["output.0", "output.1"]),
    (
      lambda images, dense: (images, {"up": {"one": dense}, "to": images}),
      ["up.one", "to"],
    ),
  ],
)
def test_what_a_jax_generator_may_return(returned, names):
  generator = JaxGenerator(lambda z: returned(gan(z)[0], z @ DENSE), (6,))
  assert [layer.name for layer in generator.layers()] == names
  found = generator.activations(records(2, classes=False), tuple(names))
  assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("classes", [False, True])
def test_a_jax_generator_of_any_number(classes):
  traces = []

  def function(latents, classes=None):
    traces.append(latents.shape)
    names = classes if classes is None else jnp.asarray(classes)
    if names is not None:
      latents = latents + jnp.asarray(NAMES)[names]
    return gan(latents)

  generator = JaxGenerator(function, (6,), classes=classes, image_range=(-2.0, 3.0))
  assert isinstance(generator, Generator)
  assert generator.image_size == 8
  assert generator.layers() == (
    LayerShape("relu", 4, 4, 5),
    LayerShape("dense", 1, 1, 80),
    LayerShape("grow", 8, 8, 5),
    LayerShape("colors", 8, 8, 3),
  )
  del traces[:]
  for number in (1, 4, 4):
    inputs = records(number, classes=classes)
    want, images = answers(inputs)
    found = generator.activations(inputs, tuple(want))
    for name in want:
      np.testing.assert_allclose(found[name], want[name], atol=1e-5, err_msg=name)
    np.testing.assert_allclose(generator.images(inputs), images, atol=1)
  # Each batch size is traced once for activations and once for images.
  assert traces == [(1, 6), (1, 6), (4, 6), (4, 6)]


def test_parameters_need_not_be_part_of_the_program():
  def function(params, latents):
    return gan(latents * params["scale"])

  partial = jax.tree_util.Partial(function, {"scale": jnp.float32(2)})
  generator = JaxGenerator(partial, (6,))
  inputs = records(3, classes=False)
  doubled = inputs.copy()
  doubled["latent"] *= 2
  found = generator.activations(inputs, ("relu",))["relu"]
  np.testing.assert_allclose(found, answers(doubled)[0]["relu"], rtol=1e-5, atol=1e-5)


def test_colors_are_cut_to_their_range():
  values = np.array([-3, -1, 0, 0.5, 1, 2, np.nan, np.inf], np.float32)
  images = np.broadcast_to(values[:, None, None, None], (8, 2, 2, 3))
  found = to_rgb_pixels(images, (-1.0, 1.0))[:, 0, 0, 0]
  assert found.tolist() == [0, 0, 128, 191, 255, 255, 0, 255]


@pytest.mark.parametrize(
  "make",
  [lambda: TorchGenerator(Gan(), (6,)), lambda: JaxGenerator(gan, (6,))],
  ids=["torch", "jax"],
)
def test_what_a_generator_is_not_given(make):
  generator = make()
  with pytest.raises(UserError, match=r"\(6,\) without classes: found .*latent, class"):
    generator.activations(records(2, classes=True), ("relu",))
  wrong = trial_inputs((5,), classes=False, batch=2)
  with pytest.raises(UserError, match=r"found records of latent of shape \(5,\)"):
    generator.images(wrong)
  with pytest.raises(UserError, match=r"found an array of float32"):
    generator.images(np.zeros((2, 6), np.float32))
  with pytest.raises(UserError, match=r"no (module|layer) 'nothing'"):
    generator.activations(records(2, classes=False), ("nothing",))


def test_what_makes_no_images():
  with pytest.raises(UserError, match=r"returns \(5, 80\): expected images"):
    TorchGenerator(nn.Linear(6, 80), (6,))
  gray = nn.Unflatten(1, (20, 2, 2))
  with pytest.raises(UserError, match=r"shape \(5, 2, 2, 20\), channels last, for 5"):
    TorchGenerator(gray, (80,))
  with pytest.raises(UserError, match=r"does not run on latents of shape \(7,\)"):
    JaxGenerator(gan, (7,))
  with pytest.raises(UserError, match=r"returns a \w+: expected a pair of images"):
    JaxGenerator(lambda latents: gan(latents)[0], (6,))
  with pytest.raises(UserError, match="returns None"):
    JaxGenerator(lambda latents: (gan(latents)[0], None), (6,))
  with pytest.raises(UserError, match=r"shape \(13, 5, 4, 4\), channels last"):
    JaxGenerator(lambda x: ((x @ DENSE).reshape(-1, 5, 4, 4), {}), (6,))
