"""What `milan_jax` exports: every name is documented, and its example runs."""

import ast
import dataclasses
import doctest
import inspect
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import milan_jax
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.language_models import make_language_model
from tests.models import torch_networks

HEAVY = {"jax", "flax", "numpy", "torch", "transformers", "tensorflow", "orbax"}
NAMES = [name for name in milan_jax.__all__ if name != "__version__"]


def test_importing_takes_none_of_the_heavy_libraries():
  script = "import sys, milan_jax; print(sorted(sys.modules))"
  found = subprocess.run(
    [sys.executable, "-c", script], capture_output=True, text=True, check=True
  )
  assert not HEAVY & set(ast.literal_eval(found.stdout))


def test_three_lists_of_the_public_names_agree():
  tree = ast.parse(pathlib.Path(milan_jax.__file__).read_text())
  checked = {
    (alias.name, node.module.removeprefix("milan_jax._src."))
    for node in ast.walk(tree)
    if isinstance(node, ast.ImportFrom) and node.module.startswith("milan_jax._src.")
    for alias in node.names
    if alias.name != "__version__"
  }
  assert checked == set(milan_jax._PUBLIC.items())
  assert set(NAMES) == set(milan_jax._PUBLIC)
  assert milan_jax.__all__ == sorted(milan_jax.__all__, key=str)
  assert dir(milan_jax) == sorted(milan_jax.__all__)
  with pytest.raises(AttributeError, match="no attribute 'nothing'"):
    milan_jax.nothing  # noqa: B018


@pytest.fixture(scope="module")
def state_dict():
  """Random weights under torchvision's names."""
  weights = torch_networks.network("resnet18").state_dict()
  return {key: value.numpy() for key, value in weights.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_name(name, scene, state_dict, monkeypatch):
  folder, names = scene
  value = getattr(milan_jax, name)
  text = inspect.getdoc(value)
  assert text and "Example:" in text, f"{name} has no example"
  monkeypatch.chdir(folder)
  test = doctest.DocTestParser().get_doctest(
    text, {**names, "state_dict": state_dict}, name, None, None
  )
  assert test.examples
  lines: list[str] = []
  result = doctest.DocTestRunner().run(test, out=lines.append)
  assert not result.failed, "".join(lines)


def test_methods_with_examples_run_them(scene, monkeypatch):
  folder, names = scene
  monkeypatch.chdir(folder)
  for method in ("describe", "log_probs"):
    text = inspect.getdoc(getattr(milan_jax.Captioner, method))
    test = doctest.DocTestParser().get_doctest(text, dict(names), method, None, None)
    assert test.examples and not doctest.DocTestRunner().run(test).failed


def test_describing_goes_on_and_refuses_another_run(scene, tmp_path, monkeypatch):
  _, names = scene
  captioner, exemplars = names["captioner"], names["exemplars"]
  first = captioner.describe(exemplars, workdir=tmp_path / "run")
  assert first == captioner.describe(exemplars) == names["descriptions"]
  before = (tmp_path / "run" / "descriptions.jsonl").read_bytes()
  monkeypatch.setattr(captioner, "decoder", None)  # is not called again
  monkeypatch.undo()
  assert captioner.describe(exemplars, workdir=tmp_path / "run") == first
  assert (tmp_path / "run" / "descriptions.jsonl").read_bytes() == before
  options = milan_jax.DecodingOptions(length=3)
  with pytest.raises(milan_jax.UserError, match="length is not set there"):
    captioner.describe(exemplars, workdir=tmp_path / "run", options=options)


def test_collecting_goes_on_and_refuses_other_images(scene, tmp_path):
  _, names = scene
  network, images = names["network"], names["images"]
  keywords = {"layers": ["conv2"], "k": 5, "workdir": tmp_path / "run"}
  first = milan_jax.collect(network, images, **keywords).exemplars("conv2")
  again = milan_jax.collect(network, images, **keywords).exemplars("conv2")
  np.testing.assert_array_equal(first.image_ids, again.image_ids)
  other = images.copy()
  other[3, 0, 0, 0] ^= 1
  with pytest.raises(milan_jax.UserError, match="images: 1 of 24 images changed"):
    milan_jax.collect(network, other, **keywords)
  scaled = jax.tree.map(lambda leaf: leaf * 2, names["variables"])
  with pytest.raises(milan_jax.UserError, match="parameters changed"):
    milan_jax.collect(
      milan_jax.probe(names["module"], scaled, image_size="32"), images, **keywords
    )


def test_scores_are_those_of_the_modules_read_token_by_token(scene):
  """Against the Flax modules as training runs them: no search, no packed rows."""
  _, names = scene
  release, features = names["captioner"].release, names["features"]
  texts = {
    milan_jax.Unit("conv2", 0): ["red dots", "edges"],
    milan_jax.Unit("conv2", 5): ["green things of zebras and blue"],
  }
  scores = names["captioner"].score(features, texts, batch_size=1)
  own = milan_jax.Decoding("rerank", lm_stop=False)
  free = milan_jax.Captioner(dataclasses.replace(release, decoding=own))
  freely = free.score(features, texts, batch_size=1)
  words = {word: number for number, word in enumerate(release.vocabulary)}
  start, stop, unknown = (len(words) + offset for offset in (0, 1, 3))
  for unit, each in texts.items():
    for text, scored, other in zip(each, scores[unit], freely[unit], strict=True):
      ids = [words.get(word, unknown) for word in text.split()]
      inputs, targets = jnp.array([[start, *ids]]), [*ids, stop]
      regions = features.read(unit.index, unit.index + 1)
      captioner = Captioner(**dataclasses.asdict(release.captioner))
      found, _ = captioner.apply(
        {"params": release.params["captioner"]}, jnp.asarray(regions), inputs
      )
      language_model = make_language_model(**dataclasses.asdict(release.language_model))
      prior = language_model.apply({"params": release.params["language_model"]}, inputs)
      expected, lm_expected = (
        float(np.asarray(x)[0, np.arange(len(targets)), targets].sum())
        for x in (found, prior)
      )
      assert scored.log_prob == pytest.approx(expected, abs=1e-4)
      assert scored.lm_log_prob == pytest.approx(lm_expected, abs=1e-4)
      weight = release.decoding.temperature
      assert scored.score == pytest.approx(expected - weight * lm_expected, abs=1e-4)
      before_stop = lm_expected - float(prior[0, len(ids), stop])
      assert other.lm_log_prob == scored.lm_log_prob
      assert other.score == pytest.approx(expected - 0.2 * before_stop, abs=1e-4)
      assert scored.unknown == tuple(w for w in text.split() if w not in words)


def test_bad_texts_are_refused(scene):
  _, names = scene
  captioner, features = names["captioner"], names["features"]
  with pytest.raises(milan_jax.UserError, match=r"found conv2 99, which has none"):
    captioner.score(features, {milan_jax.Unit("conv2", 99): ["red"]})
  with pytest.raises(milan_jax.UserError, match=r"conv2 0 \(off\), which has none"):
    captioner.score(features, {milan_jax.Unit("conv2", 0, "off"): ["red"]})
  up = milan_jax.Unit("conv2", 0)
  object.__setattr__(up, "sign", "up")  # the tests check the types of arguments
  with pytest.raises(milan_jax.UserError, match=r"sign on or off; found .*sign='up'"):
    captioner.score(features, {up: ["red"]})
  with pytest.raises(milan_jax.UserError, match="expected descriptions of conv2 0"):
    captioner.score(features, {milan_jax.Unit("conv2", 0): [""]})
  assert captioner.score(features, {}) == {}


@pytest.mark.parametrize(
  ("keywords", "message"),
  [
    ({"nonsense": 1}, "expected options among .*; found nonsense"),
    ({"image_size": "32", "preprocessing": "given"}, "not both"),
    ({"mean": "0.5"}, "(?s)3|three"),
  ],
)
def test_probing_with_what_does_not_fit(scene, keywords, message):
  _, names = scene
  if "preprocessing" in keywords:
    keywords = keywords | {"preprocessing": milan_jax.Preprocessing.of(size=32)}
  with pytest.raises(milan_jax.UserError, match=message):
    milan_jax.probe(names["module"], names["variables"], **keywords)


def test_preprocessing_is_what_the_model_gets(scene):
  _, names = scene
  given = milan_jax.Preprocessing.of(size=(16, 32), mean=[0.5] * 3, std=[0.25] * 3)
  network = milan_jax.probe(names["module"], names["variables"], preprocessing=given)
  image = np.full((1, 16, 32, 3), 255, np.uint8)
  found = network.probe.activations(image, ("conv1",))["conv1"]
  expected = names["module"].apply(
    names["variables"],
    np.full((1, 16, 32, 3), 2.0, np.float32),
    capture_intermediates=True,
  )[1]["intermediates"]["conv1"]["__call__"][0]
  np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-5, atol=1e-5)
