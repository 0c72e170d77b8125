"""Third-party probes, written with public names: errors name what is wrong."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import milan_jax


class Edges:
  """Four units of 16 x 16 positions, and a vector."""

  image_size = 32
  num_devices = 1

  def layers(self):
    return (
      milan_jax.LayerShape("edges", 16, 16, 4),
      milan_jax.LayerShape("pooled", 1, 1, 4),
    )

  def activations(self, inputs, layers):
    gray = inputs[:, ::2, ::2].mean(3)
    turned = [gray, -gray, gray**2, 255 - gray]
    maps = np.stack(turned, axis=3).astype(np.float32)
    found = {"edges": maps, "pooled": maps.mean((1, 2), keepdims=True)}
    return self.returned({name: found[name] for name in layers})

  def returned(self, found):
    return found


class Derived(milan_jax.Probe):
  """The same, derived from the protocol class."""

  def __init__(self):
    self.image_size = (32, 32)
    self.num_devices = 1

  layers = Edges.layers
  activations = Edges.activations
  returned = Edges.returned


@pytest.fixture
def images():
  coarse = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), np.uint8)
  return coarse.repeat(8, 1).repeat(8, 2)


@pytest.mark.parametrize("kind", [Edges, Derived])
def test_a_right_one_gives_its_exemplars(kind, images):
  network = milan_jax.probe(kind())
  found = milan_jax.collect(network, images, layers=["edges", "pooled"], k=3)
  brightest = np.argsort(-images[:, ::2, ::2].mean((1, 2, 3)))[:3]
  np.testing.assert_array_equal(found.exemplars("pooled").image_ids[0], brightest)
  peaks = np.sort(images[:, ::2, ::2].mean(3).max((1, 2)))[::-1][:3]
  np.testing.assert_allclose(found.exemplars("edges").activations[0], peaks, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "bool", "float16", "bfloat16"])
def test_numbers_of_other_kinds_become_float32(dtype, images):
  class Levels(Edges):
    def returned(self, found):
      least = 50 if dtype == "bool" else 0
      levels = {name: (maps / 2).clip(least, 100) for name, maps in found.items()}
      kind = jnp.dtype(dtype)
      return {name: (maps - least).astype(kind) for name, maps in levels.items()}

  network = milan_jax.probe(Levels())
  maps = network.probe.activations(images, ("edges",))["edges"].astype(np.float64)
  found = milan_jax.collect(
    network, images, layers=["edges"], units=[0, 3], k=3, tail="lower"
  ).exemplars("edges")
  for row, unit in enumerate((0, 3)):
    values = maps[..., unit]
    # The lower tail is how far a value is below its unit's threshold.
    rest = np.quantile(values, 0.99, method="hazen")
    depths = np.sort((rest - values).max((1, 2)))[::-1][:3]
    np.testing.assert_allclose(found.activations[row], depths, rtol=1e-6)


def test_float64_is_rounded_before_anything_is_compared(images):
  class Wide(Edges):
    def returned(self, found):
      return {name: maps.astype(np.float64) / 3 for name, maps in found.items()}

  network = milan_jax.probe(Wide())
  maps = network.probe.activations(images, ("edges",))["edges"].astype(np.float32)
  found = milan_jax.collect(network, images, layers=["edges"], k=3).exemplars("edges")
  peaks = np.sort(maps[..., 0].max((1, 2)))[::-1][:3]
  np.testing.assert_array_equal(found.activations[0], peaks)


def test_numbers_that_are_not_real_are_named(images):
  class Waves(Edges):
    def returned(self, found):
      return {name: maps * 1j for name, maps in found.items()}

  with pytest.raises(milan_jax.UserError, match=r"real numbers .*found complex64"):
    milan_jax.collect(milan_jax.probe(Waves()), images, layers=["edges"], k=3)


def test_memory_that_is_written_again_is_refused(images):
  class Reused(Edges):
    def __init__(self):
      self.memory = {}

    def returned(self, found):
      for name, maps in found.items():
        memory = self.memory.setdefault((name, maps.shape), np.empty_like(maps))
        memory[...] = maps
      return {name: self.memory[name, maps.shape] for name, maps in found.items()}

  message = "edges and 1 more layers give .* while the next batch runs: .*new array"
  network = milan_jax.probe(Reused())
  with pytest.raises(milan_jax.UserError, match=message):
    milan_jax.collect(network, images, layers=["edges", "pooled"], k=3)


@pytest.mark.parametrize(
  ("layer", "change", "message"),
  [
    (
      "edges",
      lambda maps: maps.transpose(0, 3, 1, 2),
      r"Layer edges: expected an array of shape \(10, 16, 16, 4\), from layers\(\); "
      r"found \(10, 4, 16, 16\)\.",
    ),
    ("pooled", lambda maps: maps[:, 0, 0], r"\(10, 1, 1, 4\), .*found \(10, 4\)\."),
    ("edges", lambda maps: maps[1:], r"\(10, 16, 16, 4\), .*found \(9, 16, 16, 4\)"),
    ("edges", lambda maps: maps[..., 1:], r"16, 4\), .*found \(10, 16, 16, 3\)"),
  ],
  ids=["NCHW", "a vector of two axes", "a smaller batch", "fewer units"],
)
def test_a_wrong_array_is_named_before_the_run(layer, change, message, images):
  probe = Edges()
  probe.returned = lambda found: {
    name: change(maps) if name == layer else maps for name, maps in found.items()
  }
  network = milan_jax.probe(probe)
  with pytest.raises(milan_jax.UserError, match=message):
    milan_jax.collect(network, images, layers=["edges", "pooled"], k=3)


def test_shapes_of_another_size_of_images_are_named(images):
  probe = Edges()
  probe.image_size = 64
  with pytest.raises(milan_jax.UserError, match=r"found \(10, 32, 32, 4\)\."):
    milan_jax.collect(milan_jax.probe(probe), images, layers=["edges"], k=3)


@pytest.mark.parametrize(
  ("returned", "message"),
  [
    (lambda found: {}, "Layer edges: expected an array from activations.*only nothing"),
    (lambda found: list(found.values()), "expected a mapping .* found a list"),
  ],
)
def test_what_is_not_arrays_by_name(returned, message, images):
  probe = Edges()
  probe.returned = returned
  with pytest.raises(milan_jax.UserError, match=message):
    milan_jax.collect(milan_jax.probe(probe), images, layers=["edges"], k=3)


def test_an_array_that_is_wrong_in_the_run_alone_is_named(images):
  probe = Edges()
  calls = []

  def returned(found):
    calls.append(len(found["edges"]))
    return found if calls[-1] != 5 else {"edges": found["edges"][:, 1:]}

  probe.returned = returned
  network = milan_jax.probe(probe)
  with pytest.raises(milan_jax.UserError, match=r"\(5, 16, .*found \(5, 15, 16, 4\)"):
    milan_jax.collect(network, images, layers=["edges"], k=3, batch_size=5)


@pytest.mark.parametrize(
  ("name", "value", "message"),
  [
    (
      "layers",
      lambda: ("edges",),
      r"layers\(\): expected a tuple .* found a str in it",
    ),
    ("layers", lambda: {"edges": 4}, r"layers\(\): expected a tuple .* found a dict"),
    (
      "layers",
      lambda: (milan_jax.LayerShape("edges", 16, 0, 4),),
      r"layers\(\): .* positive ints; found 'edges' .* \(16, 0, 4\)",
    ),
    (
      "layers",
      lambda: 2 * (milan_jax.LayerShape("edges", 16, 16, 4),),
      r"layers\(\): .* unique names; found edges twice",
    ),
    ("layers", lambda: {}["a"], r"layers\(\) failed with KeyError: 'a'"),
    ("image_size", "32", "image_size: expected a positive int, .* found '32'"),
    ("image_size", None, "image_size: .* found None"),
    ("image_size", (32, 32, 3), r"image_size: .* found \(32, 32, 3\)"),
    ("num_devices", 0, "num_devices: expected an int >= 1; found 0"),
    ("num_devices", True, "num_devices: expected an int >= 1; found True"),
    ("channels", "RGB", "channels: expected an int >= 1; found 'RGB'"),
  ],
)
def test_members_are_checked(name, value, message):
  probe = Edges()
  setattr(probe, name, value)
  with pytest.raises(milan_jax.UserError, match=rf"Edges\.{message}"):
    milan_jax.probe(probe)


def test_what_is_lacking_is_named():
  class NoDevices(milan_jax.Probe):
    image_size = 32
    layers = Edges.layers
    activations = Edges.activations

  class Plain:
    image_size = 32
    activations = Edges.activations

  class Empty(milan_jax.Probe):
    image_size = 32
    num_devices = 1

  for made, missing in (
    (NoDevices, "NoDevices has no num_devices: a Probe needs"),
    (Plain, "Plain has no num_devices and no layers:"),
    (Empty, "Empty has no layers and no activations:"),
  ):
    with pytest.raises(milan_jax.UserError, match=missing):
      milan_jax.probe(made())
  with pytest.raises(milan_jax.UserError, match="is the class Edges: give an inst"):
    milan_jax.probe(Edges)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"image_size": "64"}, "image_size: .* has its own"),
    (
      {"preprocessing": milan_jax.Preprocessing.of(size=64)},
      "preprocessing: .* has its own",
    ),
  ],
)
def test_preparing_images_for_a_probe_is_refused(options, message):
  for model in (Edges(), milan_jax.probe(Edges())):
    with pytest.raises(milan_jax.UserError, match=message):
      milan_jax.probe(model, **options)


def test_a_trial_that_stops_names_the_error(images, capsys):
  probe = Edges()

  def only_color(inputs, layers):
    if (inputs[0] == inputs[0, 0, 0]).all():
      raise RuntimeError("all gray")
    return Edges.activations(probe, inputs, layers)

  probe.activations = only_color
  milan_jax.collect(milan_jax.probe(probe), images, layers=["edges"], k=3)
  printed = "".join(capsys.readouterr())
  assert "the trial stopped with RuntimeError: all gray: " in printed


class Convolution(nn.Module):
  @nn.compact
  def __call__(self, images):
    return nn.Conv(4, (3, 3), name="conv")(images)


def test_variables_that_do_not_fit_are_named():
  module = Convolution()
  variables = module.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
  with pytest.raises(milan_jax.UserError, match="have no collection 'params': give"):
    milan_jax.probe(module, variables["params"], image_size="32")
  with pytest.raises(
    milan_jax.UserError, match=r"variables of Convolution .* found a list"
  ):
    milan_jax.probe(module, [1], image_size="32")
  with pytest.raises(
    milan_jax.UserError, match="for Flax Linen modules only, and Edges is not one"
  ):
    milan_jax.probe(Edges(), {})
