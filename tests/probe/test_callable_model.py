import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.probe.callable_model import CallableProbe
from milan_jax._src.probe.returned import EXAMPLE
from milan_jax._src.probe.trial_report import check_reproducible, try_layers
from milan_jax._src.records import LayerShape

PREPROCESSING = Preprocessing(10, 8, "bilinear", (100.0, 110.0, 120.0), (50.0,) * 3)


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)


def normalized(images):
  return (images - np.float32([100, 110, 120])) / np.float32(50)


def test_a_function_of_jax(images):
  def function(images):
    assert isinstance(images, jax.core.Tracer)
    return {"maps": jnp.abs(images), "vector": images.max((1, 2)), "ids": images > 0}

  probe = CallableProbe(function, PREPROCESSING)
  assert probe.compiled
  assert probe.layers() == (
    LayerShape("maps", 8, 8, 3),
    LayerShape("vector", 1, 1, 3),
    LayerShape("ids", 8, 8, 3),
  )
  found = probe.activations(images, ("vector", "maps", "ids"))
  want = normalized(images)
  np.testing.assert_allclose(found["maps"], np.abs(want), atol=1e-6)
  np.testing.assert_allclose(found["vector"][:, 0, 0], want.max((1, 2)), atol=1e-6)
  assert found["ids"].dtype == np.float32
  np.testing.assert_array_equal(found["ids"], want > 0)


class Named(NamedTuple):
  maps: Any
  means: Any


@dataclasses.dataclass
class Record:
  maps: Any
  loss: float


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
  ("returned", "names"),
  [
    (lambda a, b: a, {"output": 0}),
    (lambda a, b: (a, b), {"output.0": 0, "output.1": 1}),
    (lambda a, b: [b], {"output.0": 1}),
    (lambda a, b: (None, [a, b]), {"output.1.0": 0, "output.1.1": 1}),
    (lambda a, b: ({"z": a, "a": b}, 3), {"output.0.z": 0, "output.0.a": 1}),
    (lambda a, b: {"z": {"b": a, "a": None}, "loss": 0.5, 7: b}, {"z.b": 0, "7": 1}),
    (lambda a, b: {"blocks": [a, {"mlp": b}]}, {"blocks.0": 0, "blocks.1.mlp": 1}),
    (lambda a, b: Named(a, b), {"maps": 0, "means": 1}),
    (lambda a, b: Record(a, 0.5), {"maps": 0}),
    (lambda a, b: {"maps": a, "note": "text", "total": b.sum()}, {"maps": 0}),
  ],
)
def test_what_a_function_may_return(returned, names, compiled, images):
  def function(images):
    assert isinstance(images, np.ndarray) != compiled
    return returned(images * 2, images.mean((1, 2)))

  probe = CallableProbe(function, PREPROCESSING, compiled=compiled)
  assert [layer.name for layer in probe.layers()] == list(names)
  want = (2 * normalized(images), normalized(images).mean((1, 2))[:, None, None])
  for name, array in probe.activations(images, tuple(names)).items():
    np.testing.assert_allclose(array, want[names[name]], atol=1e-5)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
  ("kind", "want"),
  [
    (np.int32, np.trunc),
    (np.uint8, lambda x: x * 0),
    (np.bool_, lambda x: x != 0),
    (jnp.bfloat16, lambda x: x),
  ],
)
def test_numbers_of_other_kinds_become_float32(kind, want, compiled, images):
  def function(images):
    images = images * 0 if kind == np.uint8 else images
    return images.astype(kind)

  probe = CallableProbe(function, PREPROCESSING, compiled=compiled)
  found = probe.activations(images, ("output",))["output"]
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, want(normalized(images)), atol=1e-2)


@pytest.mark.parametrize(
  ("function", "words"),
  [
    (lambda images: None, "The function returns None: return arrays"),
    (lambda images: {}, "returns a dict without arrays"),
    (lambda images: [None, 3.0], "returns a list without arrays"),
    (lambda images: "maps", "returns a str"),
    (lambda images: 1.5, "returns a float"),
    (lambda images: (image for image in images), "returns a generator"),
    (lambda images: images + 1j, "returns an array of complex64"),
    (lambda images: images.mean(), r"returns output of shape \(\) for 13 images"),
    (lambda images: {"one": images[0]}, r"returns one of shape \(8, 8, 3\) for 13"),
    (lambda images: {"a": {"b": images}, "a.b": images}, "name 'a.b': rename one"),
  ],
)
@pytest.mark.parametrize("traceable", [True, False])
def test_what_cannot_be_read_is_told_in_a_sentence(function, words, traceable):
  def untraceable(images):
    return function(images + np.asarray(images) * 0)

  with pytest.raises(UserError, match=words) as error:
    CallableProbe(function if traceable else untraceable, PREPROCESSING).layers()
  sentence, *example = str(error.value).splitlines()
  assert len(sentence) < 250
  assert len(example) in (0, 3)


def test_the_example_of_the_message_does_it():
  names = {"jnp": jnp, "weights": np.ones((3, 2), np.float32)}
  exec(EXAMPLE, names)
  probe = CallableProbe(names["network"], PREPROCESSING)
  assert probe.layers() == (LayerShape("maps", 8, 8, 2), LayerShape("means", 1, 1, 2))


def sorts_in_numpy(images):
  return np.sort(np.asarray(images), axis=3)


def writes_in_place(images):
  images[..., 0] = 5
  return images


def looks_at_a_number(images):
  return images * (2 if images.max() >= 0 else 3)


def looks_and_sets(images):
  return images.at[..., 0].set(float(images.min() * 0))


@pytest.mark.parametrize(
  ("function", "want"),
  [
    (sorts_in_numpy, lambda images: np.sort(images, axis=3)),
    (
      writes_in_place,
      lambda images: np.concatenate([0 * images[..., :1] + 5, images[..., 1:]], 3),
    ),
    (looks_at_a_number, lambda images: images * 2),
    (looks_and_sets, lambda images: images * np.float32([0, 1, 1])),
    (lambda images: [[images[0, 0, 0, 0].item()]] and images, lambda images: images),
  ],
)
def test_what_cannot_be_traced_runs_uncompiled(function, want, images):
  probe = CallableProbe(function, PREPROCESSING)
  assert not probe.compiled
  assert probe.num_devices == 1
  assert probe.trace_failure
  assert "\n" not in probe.trace_failure
  assert probe.layers() == (LayerShape("output", 8, 8, 3),)
  found = probe.activations(images, ("output",))["output"]
  np.testing.assert_allclose(found, want(normalized(images)), atol=1e-5)


def test_random_numbers_of_numpy_are_no_constants(images):
  # A trace would keep the numbers that it got.
  rng = np.random.default_rng(0)
  offsets = jnp.arange(3.0)[None, None, None]
  levels = np.float32([[[[1, np.nan, 2]]]])

  def noisy(images):
    return images + jnp.asarray(rng.normal(size=(1, 1, 1, 3)), jnp.float32)

  probe = CallableProbe(noisy, PREPROCESSING)
  assert not probe.compiled
  assert "other constants" in probe.trace_failure
  first, second = (probe.activations(images, ("output",))["output"] for _ in range(2))
  assert np.abs(first - second).min() > 0
  report = try_layers(probe, ("output",), batch_size=4)
  with pytest.raises(UserError, match="the same pictures at every pass"):
    check_reproducible(report, batch_size=4)
  # Constants that are the same in each trace are compiled.
  for same in (
    lambda images: images + offsets + levels,
    jax.jit(lambda images: images * 2 + offsets),
    lambda images: images + jax.random.normal(jax.random.key(0), images.shape),
  ):
    assert CallableProbe(same, PREPROCESSING).compiled


@pytest.mark.parametrize(
  ("function", "words"),
  [
    (lambda images: images @ np.ones((4, 4)), r"\(TypeError: dot_general"),
    (lambda images: np.asarray(images) @ np.ones((4, 4)), r"\(ValueError: matmul"),
    (lambda params, images: images, r"\(TypeError: .*missing 1 required"),
    (lambda images: images.reshape(7, -1), r"\(TypeError: cannot reshape"),
  ],
)
def test_what_does_not_run_at_all_is_told_by_its_own_error(function, words):
  with pytest.raises(UserError, match=f"does not run on images of 8 x 8 .*{words}"):
    CallableProbe(function, PREPROCESSING)


def test_a_function_that_fails_or_changes_its_mind_later(images):
  def fails(images):
    if np.asarray(images).max() > 0:
      raise RuntimeError("too bright\nmuch too bright")
    return images

  def changes(images):
    return {"dark" if np.asarray(images).max() < 0 else "bright": images}

  probe = CallableProbe(fails, PREPROCESSING)
  with pytest.raises(UserError, match=r"batch of 2 .*\(RuntimeError: too bright\)"):
    probe.activations(images, ("output",))
  probe = CallableProbe(changes, PREPROCESSING)
  with pytest.raises(UserError, match="returned no 'dark' for these images"):
    probe.activations(images, ("dark",))


def test_a_function_of_numpy(images):
  def function(images):
    assert isinstance(images, np.ndarray)
    images *= 2  # its images are its own
    if images.any():
      images += 1
    first = images.transpose(0, 3, 1, 2)[:, :, :4, :4]
    return {"first": first.astype(np.float16), "sorted": np.sort(images, axis=0)}

  probe = CallableProbe(function, PREPROCESSING, compiled=False, convolution="NCHW")
  assert probe.num_devices == 1
  assert [shape.layout for shape in probe.layers()] == ["NCHW", "NHWC"]
  found = probe.activations(images, ("first",))
  assert set(found) == {"first"}
  assert found["first"].dtype == np.float32
  want = 2 * normalized(images)[:, :4, :4] + 1
  np.testing.assert_allclose(found["first"], want, atol=1e-2)
  with pytest.raises(UserError, match="no layer 'last'"):
    probe.activations(images, ("last",))


def test_devices_are_for_compiled_functions():
  with pytest.raises(UserError, match="omit devices"):
    CallableProbe(
      lambda images: {}, PREPROCESSING, compiled=False, devices=jax.devices()
    )
