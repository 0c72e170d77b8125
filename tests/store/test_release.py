import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from milan_jax._src.errors import UserError
from milan_jax._src.models.backbones import registry
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.confidence_model import ConfidenceSpec
from milan_jax._src.models.language_models import make_language_model
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.store import release

WORDS = ("a", "red", "dog", ".")


def _random(module, *inputs, seed):
  rng = np.random.default_rng(seed)
  params = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
  return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype("f4"), params)


@pytest.fixture(scope="session")
def small():
  """A release of 2 levels of AlexNet, whose weights come from elsewhere."""
  captioner = release.CaptionerSpec(256, 6, 5, 7, len(WORDS) + 4, 0.5)
  language_model = release.LanguageModelSpec(6, 5, 2, len(WORDS) + 4, 0.0)
  tokens = jnp.zeros((1, 1), int)
  return release.Release(
    encoder=release.EncoderSpec(
      backbone="alexnet",
      levels=("features.1", "features.4"),
      mean=(0.5, 0.4, 0.3),
      std=(0.1, 0.2, 0.3),
      weights="a-package",
    ),
    captioner=captioner,
    language_model=language_model,
    vocabulary=WORDS,
    decoding=Decoding("rerank", 15, 50, 0.2),
    params={
      "captioner": _random(
        Captioner(**dataclasses.asdict(captioner)),
        jnp.zeros((1, 1, 256)),
        tokens,
        seed=0,
      ),
      "language_model": _random(
        make_language_model(**dataclasses.asdict(language_model)), tokens, seed=1
      ),
    },
    card={"name": "a small one", "sources": ["é", 1, None]},
  )


def assert_same(one, other):
  fields = {field.name for field in dataclasses.fields(release.Release)} - {"params"}
  for name in fields:
    assert getattr(one, name) == getattr(other, name)
  leaves, others = (flatten_dict(each.params, sep="/") for each in (one, other))
  assert set(leaves) == set(others)
  for name, array in leaves.items():
    np.testing.assert_array_equal(array, others[name])


def _edit(folder, change):
  path = folder / "milan.json"
  value = json.loads(path.read_text("utf-8"))
  change(value)
  path.write_text(json.dumps(value), "utf-8")


def test_a_release_comes_back_and_has_the_same_bytes_each_time(small, tmp_path):
  release.save_release(small, tmp_path / "one")
  back = release.load_release(tmp_path / "one")
  assert_same(back, small)
  assert isinstance(back.encoder.levels, tuple) and isinstance(back.vocabulary, tuple)
  release.save_release(back, tmp_path / "two")
  for name in ("milan.json", "milan.safetensors"):
    one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
    assert one == two
  assert sorted(p.name for p in (tmp_path / "one").iterdir()) == [
    "milan.json",
    "milan.safetensors",
  ]
  assert (tmp_path / "one" / "milan.safetensors").stat().st_mode & 0o044 == 0o044


def test_transposed_and_half_tensors_are_stored_as_they_read(small, tmp_path):
  params = small.params
  captioner = dict(params["captioner"])
  kernel = captioner["gate"]["kernel"]
  half = np.asarray(captioner["output"]["bias"], np.float16)
  captioner["gate"] = captioner["gate"] | {"kernel": kernel.T.copy().T}
  captioner["output"] = captioner["output"] | {"bias": half}
  changed = dataclasses.replace(small, params=params | {"captioner": captioner})
  release.save_release(changed, tmp_path)
  back = release.load_release(tmp_path).params["captioner"]
  np.testing.assert_array_equal(back["gate"]["kernel"], kernel)
  assert back["output"]["bias"].dtype == np.float32
  np.testing.assert_array_equal(back["output"]["bias"], half.astype(np.float32))


def test_a_release_with_its_encoder_and_without_language_model(small, tmp_path):
  network = registry.backbone("alexnet")
  headless = network.module.clone(num_classes=None)
  shapes = registry.parameter_shapes(headless, 224)
  encoder = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float16), shapes)
  whole = dataclasses.replace(
    small,
    encoder=dataclasses.replace(small.encoder, weights="included"),
    language_model=None,
    params={"captioner": small.params["captioner"], "encoder": encoder},
  )
  release.save_release(whole, tmp_path)
  assert_same(release.load_release(tmp_path), whole)


CONFIDENCE = ConfidenceSpec(
  centers=(0.1, -2.0, 3.5, 0.0, 1.0, 1e-3),
  scales=(1.0, 0.5, 2.0, 1.0, 3.0, 4.0),
  weights=(0.25, -1.0, 0.0, 2.0, 0.125, 1.0),
  bias=-0.75,
  threshold=0.3125,
)


@pytest.fixture(scope="session")
def projecting(small):
  """The same captioner over four components, with a confidence."""
  captioner = dataclasses.replace(small.captioner, feature_size=4)
  rng = np.random.default_rng(2)
  projection = {
    "shift": rng.normal(size=256).astype("f4"),
    "kernel": rng.normal(size=(256, 4)).astype("f4"),
  }
  params = _random(
    Captioner(**dataclasses.asdict(captioner)),
    jnp.zeros((1, 1, 4)),
    jnp.zeros((1, 1), int),
    seed=3,
  )
  return dataclasses.replace(
    small,
    encoder=dataclasses.replace(small.encoder, projection=4),
    captioner=captioner,
    params=small.params | {"captioner": params, "projection": projection},
    confidence=CONFIDENCE,
    decoding=dataclasses.replace(
      small.decoding, consensus=0.5, nothing=("no clear pattern", "random areas")
    ),
  )


def test_a_projection_and_a_confidence_come_back(projecting, tmp_path):
  assert projecting.feature_size == 256
  release.save_release(projecting, tmp_path / "one")
  back = release.load_release(tmp_path / "one")
  assert_same(back, projecting)
  assert back.confidence == CONFIDENCE
  assert back.decoding == projecting.decoding
  assert back.projection is not None
  np.testing.assert_array_equal(
    back.projection.kernel, projecting.params["projection"]["kernel"]
  )
  np.testing.assert_array_equal(
    back.projection.shift, projecting.params["projection"]["shift"]
  )
  release.save_release(back, tmp_path / "two")
  for name in ("milan.json", "milan.safetensors"):
    one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
    assert one == two


def test_a_release_without_them_says_nothing_of_confidence(small, tmp_path):
  assert small.projection is None
  assert small.confidence is None
  assert small.feature_size == small.captioner.feature_size == 256
  release.save_release(small, tmp_path)
  value = json.loads((tmp_path / "milan.json").read_text("utf-8"))
  assert "confidence" not in value
  # As in releases made before there were any.
  del value["encoder"]["projection"], value["crc32"]
  del value["decoding"]["consensus"], value["decoding"]["nothing"]
  (tmp_path / "milan.json").write_text(json.dumps(value), "utf-8")
  assert_same(release.load_release(tmp_path), small)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (
      {"encoder.projection": 5},
      r"captioner\.feature_size must be 5, encoder\.projection, not '4'",
    ),
    ({"encoder.projection": 0}, r"feature_size must be 256, the channels of encoder"),
    ({"encoder.projection": -1}, r"encoder\.projection must be 0 or more"),
    ({"captioner.feature_size": 256}, r"feature_size must be 4, encoder\.projection"),
    ({"encoder.levels": ("features.1",)}, r"projection/kernel must be \(64, 4\), not"),
  ],
  ids=str,
)
def test_a_projection_of_another_size_is_refused(projecting, change, message):
  (name, value), = change.items()  # fmt: skip
  spec, _, field = name.partition(".")
  with pytest.raises(UserError, match=message):
    changed = dataclasses.replace(getattr(projecting, spec), **{field: value})
    dataclasses.replace(projecting, **{spec: changed})


def test_a_projection_is_there_as_the_encoder_says(projecting, small):
  with pytest.raises(UserError, match=r"the parameters must be of .*'projection'"):
    dataclasses.replace(projecting, params=_without(projecting.params, "projection"))
  more = small.params | {"projection": projecting.params["projection"]}
  with pytest.raises(UserError, match=r"the parameters must be of \['captioner', 'lan"):
    dataclasses.replace(small, params=more)
  wrong = projecting.params["projection"] | {"shift": np.zeros(4, "f4")}
  with pytest.raises(UserError, match=r"projection/shift must be \(256,\), not"):
    dataclasses.replace(projecting, params=projecting.params | {"projection": wrong})


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda c: c.pop("bias"), "confidence must have the fields centers"),
    (lambda c: c.update(more=1), "confidence must have the fields centers"),
    (lambda c: c.update(threshold="0.3"), "threshold must be of type float"),
    (lambda c: c.update(weights=1.0), "weights must be a list"),
    (lambda c: c.update(weights=[1.0]), "confidence.weights must be 6 numbers"),
    (lambda c: c.update(scales=[1.0] * 5 + [0.0]), "scales must be positive numbers"),
  ],
)
def test_a_confidence_that_says_other_things(projecting, tmp_path, change, message):
  release.save_release(projecting, tmp_path)
  _edit(tmp_path, lambda value: change(value["confidence"]))
  with pytest.raises(UserError, match=message):
    release.load_release(tmp_path)


# What does not fit together is not a release.


def _without(tree, *path):
  branch = dict(tree)
  if len(path) == 1:
    del branch[path[0]]
  else:
    branch[path[0]] = _without(branch[path[0]], *path[1:])
  return branch


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"vocabulary": WORDS[:3]}, r"captioner\.vocab_size must be 7, "),
    ({"vocabulary": ("a", "a", "b", "c")}, "'a' is repeated"),
    ({"language_model": None}, r"the parameters must be of \['captioner'\], not"),
    (
      {"captioner.hidden_size": 8},
      r"captioner/attention/query/kernel must be \(8, 7\)",
    ),
    ({"captioner.feature_size": 9}, r"feature_size must be 256, the channels of enc"),
    ({"captioner.embedding_size": 0}, r"captioner\.embedding_size must be positive"),
    ({"captioner.dropout": 1.0}, r"captioner\.dropout must be in \[0, 1\)"),
    ({"language_model.num_layers": 3}, r"language_model/lstm_2/hidden_bias must be"),
    ({"encoder.backbone": "alexnat"}, "no backbone 'alexnat'"),
    ({"encoder.levels": ("features.99",)}, r"alexnet has no layer 'features\.99'"),
    ({"encoder.levels": ()}, r"encoder\.levels must be at least one layer"),
    ({"encoder.std": (0.1, 0.0, 0.1)}, r"encoder\.std must be positive"),
    ({"encoder.mean": (0.1,)}, r"encoder\.mean must be three numbers"),
    ({"encoder.weights": "included"}, r"the parameters must be of .*'encoder'"),
    ({"decoding.strategy": "guess"}, r"strategy: expected one of .*'guess'"),
    ({"decoding.beam_size": 0}, r"beam_size: expected 1 or"),
    ({"decoding.temperature": -0.1}, r"temperature: expected 0 or more"),
    ({"decoding.consensus": -1.0}, r"consensus: expected 0 or more"),
  ],
  ids=str,
)
def test_specs_that_do_not_fit_are_refused(small, change, message):
  (name, value), = change.items()  # fmt: skip
  spec, _, field = name.partition(".")
  with pytest.raises(UserError, match=message):
    if field:
      value = dataclasses.replace(getattr(small, spec), **{field: value})
    dataclasses.replace(small, **{spec: value})


def test_missing_and_additional_tensors_are_named(small):
  params = _without(small.params, "captioner", "lstm", "hidden_kernel")
  with pytest.raises(UserError, match=r"captioner/lstm/hidden_kernel .* not 'absent'"):
    dataclasses.replace(small, params=params)
  language_model = small.params["language_model"] | {"more": np.zeros(3)}
  params = small.params | {"language_model": language_model}
  with pytest.raises(UserError, match=r"language_model/more must be absent, not"):
    dataclasses.replace(small, params=params)


# Folders that are not whole releases.


@pytest.fixture
def folder(small, tmp_path):
  release.save_release(small, tmp_path / "it")
  return tmp_path / "it"


def test_missing_files(folder):
  (folder / "milan.safetensors").rename(folder / "other")
  with pytest.raises(
    UserError, match=r"milan\.safetensors is missing in the same folder"
  ):
    release.load_release(folder)
  (folder / "milan.json").unlink()
  with pytest.raises(UserError, match=r"milan\.json is missing: expected a released"):
    release.load_release(folder)
  with pytest.raises(UserError, match=r"milan\.json is missing"):
    release.load_release(folder / "nowhere")


@pytest.mark.parametrize("change", [lambda d: d[:-5], lambda d: d[:-1] + b"x"])
def test_tensors_cut_short_or_changed(folder, change):
  path = folder / "milan.safetensors"
  path.write_bytes(change(path.read_bytes()))
  with pytest.raises(UserError, match="damaged or from another release"):
    release.load_release(folder)


def test_every_change_of_the_json_is_found(folder):
  path = folder / "milan.json"
  value = json.loads(path.read_text("utf-8"))
  value["vocabulary"][0] += "s"
  path.write_text(json.dumps(value), "utf-8")
  with pytest.raises(UserError, match=r"milan\.json was changed .* remove 'crc32' if"):
    release.load_release(folder)
  del value["crc32"]
  path.write_text(json.dumps(value), "utf-8")
  assert release.load_release(folder).vocabulary[0] == value["vocabulary"][0]


def test_json_cut_short_or_of_another_kind(folder):
  path = folder / "milan.json"
  whole = path.read_text("utf-8")
  path.write_text(whole[: len(whole) // 2])
  with pytest.raises(UserError, match="is not JSON"):
    release.load_release(folder)
  for other in ("[]", "{}", '{"format": "other"}'):
    path.write_text(other)
    with pytest.raises(UserError, match="is not a released captioner"):
      release.load_release(folder)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (
      lambda v: v.update(version=2),
      "format version 2, but this program reads version 1",
    ),
    (lambda v: v.pop("vocabulary"), "lacks 'vocabulary'"),
    (lambda v: v.update(tensors={}), "lacks 'sha256'"),
    (
      lambda v: v["captioner"].pop("dropout"),
      "captioner must have the fields feature_",
    ),
    (
      lambda v: v["captioner"].update(more=1),
      "captioner must have the fields feature_",
    ),
    (
      lambda v: v["captioner"].update(hidden_size="6"),
      "hidden_size must be of type int",
    ),
    (lambda v: v["captioner"].update(hidden_size=True), "hidden_size must be of type"),
    (
      lambda v: v["encoder"].update(levels="conv1"),
      r"levels must be a list, not 'conv",
    ),
    (lambda v: v["encoder"].update(mean=[0, "x", 0]), "mean must be of type float"),
    (
      lambda v: v.update(vocabulary=["a", 1, "b", "c"]),
      "vocabulary must be of type str",
    ),
    (lambda v: v.update(decoding=[]), "decoding must have the fields strategy"),
    (lambda v: v.update(card=1), "card must be an object"),
    (lambda v: v.update(tensors=3), "tensors must be an object"),
  ],
)
def test_json_that_says_other_things(folder, change, message):
  _edit(folder, change)
  with pytest.raises(UserError, match=message):
    release.load_release(folder)


def test_tensors_of_another_type(small, folder, tmp_path):
  params = jax.tree.map(lambda array: array.astype(np.float64), small.params)
  release.save_release(dataclasses.replace(small, params=params), tmp_path / "double")
  with pytest.raises(
    UserError, match="must be of floats of 16 or 32 bits, not 'float64"
  ):
    release.load_release(tmp_path / "double")


def test_a_save_that_fails_leaves_no_release(small, folder, monkeypatch):
  def fail(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(release.safetensors.numpy, "save_file", fail)
  with pytest.raises(KeyboardInterrupt):
    release.save_release(small, folder)
  with pytest.raises(UserError, match="is missing"):
    release.load_release(folder)


def test_what_a_regions_features_are_is_kept(small, tmp_path):
  spec = dataclasses.replace(small.encoder, pooling="placed")
  captioner = dataclasses.replace(small.captioner, feature_size=256 + 11)
  module = Captioner(**dataclasses.asdict(captioner))
  regions = jnp.zeros((1, 1, captioner.feature_size))
  weights = _random(module, regions, jnp.zeros((1, 1), int), seed=2)
  params = small.params | {"captioner": weights}
  wider = dataclasses.replace(small, encoder=spec, captioner=captioner, params=params)
  release.save_release(wider, tmp_path / "wider")
  assert_same(release.load_release(tmp_path / "wider"), wider)
  release.save_release(small, tmp_path / "small")
  saved = json.loads((tmp_path / "small" / "milan.json").read_text())
  assert "pooling" not in saved["encoder"]
  with pytest.raises(UserError, match=r"encoder\.pooling"):
    dataclasses.replace(spec, pooling="all")
