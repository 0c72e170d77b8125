import copy
import json
import os
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax.traverse_util import flatten_dict

from milan_jax._src.errors import UserError
from milan_jax._src.models import lowering
from milan_jax._src.models.backbones import backbone
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.encoder import pool
from milan_jax._src.models.language_model import LanguageModel
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.store import official, release
from tests.helpers.recorded import CHECKPOINT


class Hostile:
  def __init__(self, marker):
    self.marker = marker

  def __reduce__(self):
    return os.system, (f"touch {self.marker}",)


@pytest.fixture(scope="session")
def checkpoint():
  return CHECKPOINT


@pytest.fixture(scope="session")
def read(checkpoint):
  return official.read_official(checkpoint)


@pytest.fixture(scope="session")
def folder(checkpoint, tmp_path_factory):
  """The tiny checkpoint, converted. Not to be changed."""
  folder = tmp_path_factory.mktemp("converted") / "a" / "tiny"
  official.convert(checkpoint, folder)
  return folder


@pytest.fixture(scope="session")
def converted(folder):
  return release.load_release(folder)


# What the checkpoint says.


def test_the_checkpoint_says_what_torch_reads_in_it(checkpoint, read):
  theirs = torch.load(checkpoint, weights_only=False)
  said = theirs["properties"]
  assert (
    read.vocabulary == said["indexer"]["properties"]["vocab"]["properties"]["tokens"]
  )
  assert len(read.vocabulary) == 424
  assert read.backbone == "resnet18"
  assert read.captioner == release.CaptionerSpec(
    feature_size=1024,
    hidden_size=64,
    embedding_size=32,
    attention_size=64,
    vocab_size=428,
    dropout=0.5,
  )
  assert read.language_model == release.LanguageModelSpec(
    hidden_size=48, embedding_size=32, num_layers=2, vocab_size=428, dropout=0.5
  )
  assert read.decoding == Decoding("rerank", 15, 50, 0.2)
  assert read.tokenizer["lowercase"] is True and read.tokenizer["lemmatize"] is False
  np.testing.assert_allclose(read.mean, [0.485, 0.456, 0.406], rtol=1e-7)
  np.testing.assert_allclose(read.std, [0.229, 0.224, 0.225], rtol=1e-7)
  split = {
    **{f"encoder.encoder.model.{k}": v for k, v in read.backbone_state.items()},
    **{f"lm.{k}": v for k, v in read.language_model_state.items()},
    **read.captioner_state,
  }
  state = theirs["state_dict"]
  assert set(state) - set(split) == {"encoder.mean", "encoder.std"}
  for name, array in split.items():
    np.testing.assert_array_equal(array, state[name].numpy())


def test_halves_stay_halves_on_disk_and_are_floats_in_memory(read, converted):
  params = official.to_release(read).params
  half = params["encoder"]["layer4"]["1"]["conv2"]["kernel"]
  assert half.dtype == np.float16
  theirs = read.backbone_state["layer4.1.conv2.weight"]
  np.testing.assert_array_equal(half.transpose(3, 2, 0, 1), theirs)
  full = converted.params["encoder"]["layer4"]["1"]["conv2"]["kernel"]
  assert full.dtype == np.float32
  np.testing.assert_array_equal(full, half.astype(np.float32))
  assert "fc" not in converted.params["encoder"]


# The converted release computes what the original computed.


def test_features_equal_the_reference(whole_reference, outputs, tmp_path):
  official.convert(whole_reference / "decoder-tiny.pth", tmp_path / "tiny")
  whole = release.load_release(tmp_path / "tiny")
  spec = whole.encoder
  assert spec.levels == ("conv1", "layer1", "layer2", "layer3", "layer4")
  with np.load(whole_reference / "reference-tiny.npz") as arrays:
    images, masks = arrays["images"][:1], arrays["masks"][:1]
  flat = images.reshape(-1, 3, 64, 64).transpose(0, 2, 3, 1)
  floats = (flat / 255 - np.array(spec.mean)) / np.array(spec.std)
  network = backbone(spec.backbone)
  with lowering.use_lowering("plain"):  # compiles five times as fast
    levels = network.apply(
      whole.params["encoder"], floats.astype(np.float32), spec.levels
    )
  pooled = pool(
    tuple(levels[level] for level in spec.levels),
    jnp.asarray(masks.reshape(-1, 1, 64, 64) != 0),
  )
  expected = outputs["features"][0]
  np.testing.assert_allclose(pooled[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_captions_forced_equal_the_reference(converted, outputs):
  targets = outputs["forced/targets"]
  starts = np.full((len(targets), 1), len(converted.vocabulary))
  inputs = np.concatenate([starts, targets[:, :-1]], axis=1)
  module = Captioner(**{
    field: getattr(converted.captioner, field)
    for field in converted.captioner.__dataclass_fields__
  })  # fmt: skip
  predictions, attentions = module.apply(
    {"params": converted.params["captioner"]},
    jnp.asarray(outputs["features"]),
    jnp.asarray(inputs),
  )
  key = "forced/mi=False"
  np.testing.assert_allclose(
    predictions[..., ::4], outputs[f"{key}/predictions"], rtol=1e-4, atol=1e-5
  )
  np.testing.assert_allclose(
    attentions, outputs[f"{key}/attentions"], rtol=1e-4, atol=1e-6
  )


def test_the_language_model_equals_the_reference(converted, outputs):
  spec = converted.language_model
  module = LanguageModel(spec.vocab_size, spec.hidden_size, spec.embedding_size)
  inputs = jnp.asarray(outputs["lm/inputs"])
  predictions = module.apply({"params": converted.params["language_model"]}, inputs)
  expected = outputs["lm/full"]
  np.testing.assert_allclose(predictions[..., ::4], expected, rtol=1e-4, atol=1e-5)


# The mapping, against torch's own modules.


def test_the_language_models_mapping_equals_torchs_lstm():
  torch.manual_seed(0)
  embedding, lstm = torch.nn.Embedding(11, 5), torch.nn.LSTM(5, 6, 3, batch_first=True)
  output = torch.nn.Sequential(torch.nn.Linear(6, 11), torch.nn.LogSoftmax(-1))
  modules = {"embedding": embedding, "lstm": lstm, "output": output}
  state = torch.nn.ModuleDict(modules).state_dict()
  params = official.language_model_params({k: v.numpy() for k, v in state.items()}, 3)
  tokens = torch.randint(0, 11, (4, 7))
  with torch.no_grad():
    expected = output(lstm(embedding(tokens))[0]).numpy()
  module = LanguageModel(11, 6, 5, num_layers=3)
  actual = module.apply({"params": params}, jnp.asarray(tokens.numpy()))
  np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_the_captioners_mapping_names_and_transposes_every_parameter():
  """Sizes all differ, so that a wrong name or axis gives a wrong shape or value."""
  rng = np.random.default_rng(0)
  shapes = {
    "init_h.0": (6, 10),
    "init_c.0": (6, 10),
    "attend.query_to_hidden": (7, 6),
    "attend.key_to_hidden": (7, 10),
    "attend.output.0": (1, 7),
    "feature_gate.0": (10, 6),
    "output.1": (11, 6),
  }
  state = {"embedding.weight": rng.normal(size=(11, 5))}
  for name, shape in shapes.items():
    state |= {f"{name}.weight": rng.normal(size=shape)}
    state |= {f"{name}.bias": rng.normal(size=shape[:1])}
  state |= {"lstm.weight_ih": rng.normal(size=(24, 15))}
  state |= {"lstm.weight_hh": rng.normal(size=(24, 6))}
  state |= {"lstm.bias_ih": rng.normal(size=24), "lstm.bias_hh": rng.normal(size=24)}
  params = official.captioner_params(state)
  expected = {
    "init_hidden/kernel": state["init_h.0.weight"].T,
    "init_hidden/bias": state["init_h.0.bias"],
    "init_cell/kernel": state["init_c.0.weight"].T,
    "init_cell/bias": state["init_c.0.bias"],
    "embedding/embedding": state["embedding.weight"],
    "attention/query/kernel": state["attend.query_to_hidden.weight"].T,
    "attention/query/bias": state["attend.query_to_hidden.bias"],
    "attention/key/kernel": state["attend.key_to_hidden.weight"].T,
    "attention/key/bias": state["attend.key_to_hidden.bias"],
    "attention/output/kernel": state["attend.output.0.weight"].T,
    "attention/output/bias": state["attend.output.0.bias"],
    "gate/kernel": state["feature_gate.0.weight"].T,
    "gate/bias": state["feature_gate.0.bias"],
    "lstm/input_kernel": state["lstm.weight_ih"].T,
    "lstm/hidden_kernel": state["lstm.weight_hh"].T,
    "lstm/input_bias": state["lstm.bias_ih"],
    "lstm/hidden_bias": state["lstm.bias_hh"],
    "output/kernel": state["output.1.weight"].T,
    "output/bias": state["output.1.bias"],
  }
  actual = flatten_dict(params, sep="/")
  assert set(actual) == set(expected)
  for name in expected:
    np.testing.assert_array_equal(actual[name], expected[name])
  with pytest.raises(UserError, match=r"lacks 'lstm\.bias_hh'"):
    official.captioner_params({k: v for k, v in state.items() if k != "lstm.bias_hh"})
  with pytest.raises(UserError, match=r"unknown parameters: \['more'\]"):
    official.captioner_params({**state, "more": state["lstm.bias_hh"]})


# Other checkpoints.


@pytest.fixture
def variant(checkpoint, tmp_path):
  """Saves the tiny checkpoint with a change made to it, and gives the path."""

  def save(change):
    value = copy.deepcopy(torch.load(checkpoint, weights_only=False))
    change(value)
    torch.save(value, tmp_path / "variant.pth")
    return tmp_path / "variant.pth"

  return save


def _drop_lm(value):
  value["properties"]["lm"] = None
  state = value["state_dict"]
  value["state_dict"] = {k: v for k, v in state.items() if not k.startswith("lm.")}


def test_a_checkpoint_without_language_model(variant, tmp_path):
  path = variant(_drop_lm)
  official.convert(path, tmp_path / "out")
  back = release.load_release(tmp_path / "out")
  assert back.language_model is None
  assert set(back.params) == {"encoder", "captioner"}


def test_an_attention_of_its_own_size(variant):
  def change(value):
    value["properties"]["attention_hidden_size"] = 7
    state, old = value["state_dict"], value["state_dict"]["attend.output.0.weight"]
    state["attend.output.0.weight"] = old[:, :7].clone()
    for name in ("query_to_hidden", "key_to_hidden"):
      for kind in ("weight", "bias"):
        key = f"attend.{name}.{kind}"
        state[key] = state[key][:7].clone()

  made = official.to_release(official.read_official(variant(change)))
  assert made.captioner.attention_size == 7
  assert made.params["captioner"]["attention"]["key"]["kernel"].shape == (1024, 7)


def test_an_attention_that_is_not_told_is_no_wider_than_the_features(variant):
  def change(value):
    # A state of 1,030 over features of 1,024, in the weights that the attention has.
    value["properties"]["hidden_size"] = 1030
    state = value["state_dict"]
    for name, tensor in list(state.items()):
      if name.startswith(("encoder.", "lm.", "embedding")):
        continue
      shape = [4 * 1030 if size == 4 * 64 else size for size in tensor.shape]
      shape = [1030 if size == 64 else size for size in shape]
      if name.startswith("attend."):
        is_query = name == "attend.query_to_hidden.weight"
        shape = [1024, 1030] if is_query else [1024 if s == 1030 else s for s in shape]
      if name == "lstm.weight_ih":
        shape[1] = tensor.shape[1]
      state[name] = torch.zeros(shape)

  made = official.to_release(official.read_official(variant(change)))
  assert made.captioner.hidden_size == 1030
  assert made.captioner.attention_size == 1024


def test_the_spacy_of_another_day_pickles_its_configuration_by_another_name(
  variant, checkpoint, tmp_path, monkeypatch
):
  class Config(dict):
    pass

  Config.__module__, Config.__qualname__ = "thinc.config", "Config"
  module = types.ModuleType("thinc.config")
  module.Config = Config
  monkeypatch.setitem(sys.modules, "thinc", types.ModuleType("thinc"))
  monkeypatch.setitem(sys.modules, "thinc.config", module)

  def change(value):
    for part in (value, value["properties"]["lm"]):
      tokenize = part["properties"]["indexer"]["properties"]["tokenize"]["properties"]
      tokenize["nlp"] = (Config(tokenize["nlp"][0]), *tokenize["nlp"][1:])

  path = variant(change)
  assert b"thinc.config" in path.read_bytes()
  monkeypatch.undo()
  back, expected = official.read_official(path), official.read_official(checkpoint)
  assert back.vocabulary == expected.vocabulary
  assert back.captioner == expected.captioner


def _set(*keys, to):
  def change(value):
    for key in keys[:-1]:
      value = value[key]
    value[keys[-1]] = to

  return change


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (
      _set("children", "encoder", to="CLIPEncoder"),
      "unsupported parts .*'CLIPEncoder'",
    ),
    (_set("children", "reranker", to="Reranker"), "reranker 'Reranker'"),
    (
      _set("properties", "encoder", "properties", "config", to="vit_b"),
      "encoder is 'vit_b', .* alexnet, resnet101",
    ),
    (
      _set("properties", "indexer", "properties", "unk", to=False),
      "lacks special tokens",
    ),
    (
      _set(
        *("properties", "lm", "properties", "indexer", "properties"),
        *("vocab", "properties", "tokens"),
        to=("a",),
      ),
      "vocabularies",
    ),
    (_set("properties", "strategy", to="magic"), "strategy: expected one of"),
    (lambda value: value["properties"].pop("hidden_size"), "not an official MILAN"),
    (lambda value: value.pop("state_dict"), "not an official MILAN checkpoint"),
  ],
)
def test_a_checkpoint_that_is_not_known_is_refused(variant, change, message):
  with pytest.raises(UserError, match=message):
    official.read_official(variant(change))


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda v: v["state_dict"].pop("lm.output.0.bias"), r"lacks 'output\.0\.bias'"),
    (
      lambda v: v["state_dict"].update({"lm.more": torch.ones(1)}),
      "language model has unknown parameters",
    ),
    (_set("properties", "hidden_size", to=65), r"captioner/.* must be"),
  ],
)
def test_a_checkpoint_with_other_tensors_is_refused(variant, change, message):
  with pytest.raises(UserError, match=message):
    official.to_release(official.read_official(variant(change)))


def test_other_files_are_refused(tmp_path, checkpoint):
  torch.save({"a": torch.ones(1)}, tmp_path / "a.pth")
  with pytest.raises(
    UserError, match=r"a\.pth is a torch file but not an official MILAN"
  ):
    official.read_official(tmp_path / "a.pth")
  with pytest.raises(UserError, match="not a torch file"):
    official.read_official(__file__)
  whole = checkpoint.read_bytes()
  (tmp_path / "a.pth").write_bytes(whole[: len(whole) // 2])
  with pytest.raises(UserError, match="truncated"):
    official.read_official(tmp_path / "a.pth")


def test_nothing_of_a_hostile_checkpoint_runs(variant, tmp_path):
  marker = tmp_path / "it-ran"
  payload = Hostile(marker)
  path = variant(_set("properties", "indexer", "properties", "nlp", to=payload))
  official.read_official(path)
  assert not marker.exists()
  torch.load(path, weights_only=False)  # the same file, read by torch
  assert marker.exists()


# Converting.


def _snapshot(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_converting_again_changes_nothing(checkpoint, folder, monkeypatch):
  before = _snapshot(folder)
  assert set(before) == {"milan.json", "milan.safetensors"}
  source = json.loads(before["milan.json"])["card"]["source"]
  assert (
    source["name"] == "decoder-tiny.pth" and source["size"] == checkpoint.stat().st_size
  )
  monkeypatch.setattr(official, "read_official", None)  # it is not even read
  official.convert(checkpoint, folder)
  assert _snapshot(folder) == before


def test_what_a_killed_conversion_left_is_overwritten(checkpoint, folder, tmp_path):
  for name in (".milan.partial.safetensors", ".milan.partial.json"):
    (tmp_path / name).write_bytes(b"half")
  (tmp_path / "milan.safetensors").write_bytes(b"half")
  official.convert(checkpoint, tmp_path)
  assert _snapshot(tmp_path) == _snapshot(folder)


def test_a_folder_with_anything_else_is_refused(checkpoint, folder, variant, tmp_path):
  out = tmp_path / "out"
  out.mkdir()
  (out / "thesis.txt").write_text("mine")
  with pytest.raises(UserError, match=r"not empty \(it holds 'thesis.txt'\)"):
    official.convert(checkpoint, out)
  assert _snapshot(out) == {"thesis.txt": b"mine"}
  with pytest.raises(UserError, match="is a file: give a folder"):
    official.convert(checkpoint, out / "thesis.txt")
  with pytest.raises(UserError, match="is not a file: expected an official checkpoint"):
    official.convert(out, tmp_path / "new")
  before = _snapshot(folder)
  with pytest.raises(
    UserError, match=r"holds a release of another file than variant\.pth"
  ):
    official.convert(variant(_drop_lm), folder)
  assert _snapshot(folder) == before
