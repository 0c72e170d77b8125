import dataclasses
import pickletools
import zipfile

import jax
import numpy as np
import pytest
import torch
from spacy.util import get_lang_class
from thinc.config import Config

from milan_jax._src.errors import UserError
from milan_jax._src.models.backbones import state_dict
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.store import official, release
from milan_jax._src.store.official_writer import save_official
from milan_jax._src.text.tokenizer import Tokenizer
from milan_jax._src.weights import torch_files, torch_writer
from tests.helpers.commands import run_here
from tests.helpers.recorded import CHECKPOINT
from tests.helpers.tiny_release import tiny_release
from tests.models.torch_networks import network

NLP = ("properties", "indexer", "properties", "tokenize", "properties", "nlp")


@pytest.fixture(scope="module")
def captioner():
  """The recorded checkpoint, as a release."""
  return official.to_release(official.read_official(CHECKPOINT))


@pytest.fixture(scope="module")
def written(captioner, tmp_path_factory):
  path = tmp_path_factory.mktemp("written") / "tiny.pth"
  save_official(captioner, path)
  return path


@pytest.fixture(scope="module")
def theirs():
  """What the original wrote, read by torch."""
  return torch.load(CHECKPOINT, weights_only=False)


@pytest.fixture(scope="module")
def ours(written):
  """What we wrote, read by torch."""
  return torch.load(written, weights_only=False)


def _at(value, keys):
  for key in keys:
    value = value[key]
  return value


def _without_nlp(value):
  if not isinstance(value, dict):
    return value
  return {key: _without_nlp(each) for key, each in value.items() if key != "nlp"}


def test_torch_reads_the_properties_and_children_of_the_original(theirs, ours):
  for key in ("properties", "children"):
    assert _without_nlp(ours[key]) == _without_nlp(theirs[key])
  assert list(ours) == list(theirs)
  tokens = _at(ours, NLP[:-3])["vocab"]["properties"]["tokens"]
  assert type(tokens) is tuple


def test_torch_reads_the_tensors_of_the_original(theirs, ours):
  expected, found = theirs["state_dict"], ours["state_dict"]
  assert set(found) == set(expected)
  for name, tensor in found.items():
    if ".fc." in name or name.endswith("num_batches_tracked"):
      assert tensor.shape == expected[name].shape and not tensor.any()
    else:
      torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0, msg=name)
    assert tensor.is_contiguous() and tensor.device.type == "cpu"


def test_torch_reads_it_as_weights_only_with_spacys_configuration_allowed(written):
  with pytest.raises(Exception, match=r"thinc\.config\.Config"):
    torch.load(written, weights_only=True)
  with torch.serialization.safe_globals([(Config, "thinc.config.Config")]):
    found = torch.load(written, weights_only=True, mmap=True)
  assert type(_at(found, NLP)[0]) is Config
  assert found["state_dict"]["output.1.weight"].shape == (428, 64)


def test_torchs_network_loads_every_parameter(ours):
  prefix = "encoder.encoder.model."
  state = {
    name.removeprefix(prefix): tensor
    for name, tensor in ours["state_dict"].items()
    if name.startswith(prefix)
  }
  network("resnet18").load_state_dict(state, strict=True)


def test_spacy_makes_the_tokenizer_of_both_in_the_same_way(theirs, ours):
  text = "It's a cat-like thing, isn't it? (10:30 a.m.), e.g. http://x.org/a_b"
  tokens = []
  for value in (theirs, ours):
    config, state = _at(value, NLP)
    assert type(config) is Config
    pipeline = get_lang_class(config["nlp"]["lang"]).from_config(config)
    if value is ours:  # the recorded state was cut
      pipeline.from_bytes(state)
    tokens.append([token.text for token in pipeline(text)])
  assert tokens[0] == tokens[1]
  assert [token.lower() for token in tokens[1]] == Tokenizer()(text)


def test_our_reader_gives_the_same_release(captioner, written):
  back = official.to_release(official.read_official(written))
  names = ("encoder", "captioner", "language_model", "vocabulary", "decoding", "card")
  for name in names:
    assert getattr(back, name) == getattr(captioner, name)
  jax.tree.map(np.testing.assert_array_equal, back.params, captioner.params)


def test_the_same_captioner_gives_the_same_bytes(captioner, written, tmp_path):
  save_official(captioner, tmp_path / "another.pth")
  assert (tmp_path / "another.pth").read_bytes() == written.read_bytes()


def test_only_known_classes_are_in_the_pickle(written):
  with zipfile.ZipFile(written) as archive:
    assert archive.testzip() is None
    pickle = archive.read("archive/data.pkl")
    for entry in archive.infolist():
      assert entry.compress_type == zipfile.ZIP_STORED
  found = [(op.name, arg) for op, arg, _ in pickletools.genops(pickle)]
  assert {arg for name, arg in found if name == "GLOBAL"} == {
    "_codecs encode",
    "collections OrderedDict",
    "thinc.config Config",
    "torch HalfStorage",
    "torch FloatStorage",
    "torch LongStorage",
    "torch._utils _rebuild_tensor_v2",
  }
  assert not {name for name, _ in found} & {"STACK_GLOBAL", "INST", "OBJ", "EXT1"}


def test_values_of_all_kinds_come_back(tmp_path):
  rng = np.random.default_rng(0)
  value = {
    "plain": [None, True, False, 0, 255, 256, -1, 2**31, -(2**40), 0.1, -np.inf],
    "texts": ("", "café 猫", b"\x00\xff", b""),
    "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, [4])),
    "transposed": rng.normal(size=(3, 4)).astype(np.float32).T,
    "double": rng.normal(size=(2, 1, 3)),
    "empty": np.zeros((0, 2), np.float32),
    "scalar": np.array(7, np.int64),
    "flags": np.array([True, False]),
  }
  path = tmp_path / "a.pth"
  torch_writer.write_torch_file(path, value)
  found = torch.load(path, weights_only=True)
  for back in (torch_files.read_torch_file(path), found):
    for name in ("plain", "texts", "tuples"):
      assert back[name] == value[name]
      assert list(map(type, back[name])) == list(map(type, value[name]))
    for name in ("transposed", "double", "empty", "scalar", "flags"):
      array = np.asarray(back[name])
      assert array.dtype == value[name].dtype
      np.testing.assert_array_equal(array, value[name])


def test_other_classes_are_not_written(tmp_path):
  path = tmp_path / "a.pth"
  for value, error in (
    ({"a": object()}, TypeError),
    ({"a": np.zeros(1, np.complex64)}, TypeError),
    (torch_writer.KnownDict("os", "system", {}), ValueError),
  ):
    with pytest.raises(error):
      torch_writer.write_torch_file(path, value)
  assert not list(tmp_path.iterdir())


def test_an_attention_of_its_own_size_is_written(captioner, tmp_path):
  attention = captioner.params["captioner"]["attention"]
  narrow = {
    "query": jax.tree.map(lambda x: x[..., :7], attention["query"]),
    "key": jax.tree.map(lambda x: x[..., :7], attention["key"]),
    "output": {**attention["output"], "kernel": attention["output"]["kernel"][:7]},
  }
  own = {**captioner.params["captioner"], "attention": narrow}
  whole = dataclasses.replace(
    captioner,
    captioner=dataclasses.replace(captioner.captioner, attention_size=7),
    params={**captioner.params, "captioner": own},
  )
  save_official(whole, tmp_path / "a.pth")
  found = torch.load(tmp_path / "a.pth", weights_only=False)
  assert found["properties"]["attention_hidden_size"] == 7
  assert found["state_dict"]["attend.key_to_hidden.weight"].shape == (7, 1024)


def test_alexnets_parameters_become_the_state_dict_that_they_were_read_from():
  module = network("alexnet")
  state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
  params = state_dict.params_from_state_dict("alexnet", state)
  back = state_dict.state_dict_from_params("alexnet", params)
  assert set(back) == set(state)
  for name, array in state.items():
    np.testing.assert_array_equal(back[name], array)


def test_what_the_original_lacks_is_named(captioner, tmp_path):
  decoding = Decoding("rerank", 15, 50, 0.2, consensus=0.3, lm_stop=False)
  whole = dataclasses.replace(captioner, decoding=decoding)
  found = save_official(whole, tmp_path / "a.pth")
  assert found.left_out == ("consensus 0.3", "lm_stop False")
  without = dict(captioner.params)
  del without["language_model"]
  alone = dataclasses.replace(
    captioner,
    params=without,
    language_model=None,
    decoding=Decoding("beam", 15, 5, 0.2),
  )
  assert save_official(alone, tmp_path / "b.pth").left_out == ()
  back = official.read_official(tmp_path / "b.pth")
  assert back.language_model is None and back.decoding == alone.decoding


def test_captioners_that_the_original_cannot_be_are_refused(captioner, tmp_path):
  spec = captioner.encoder

  def refused(whole, match):
    with pytest.raises(UserError, match=match):
      save_official(whole, tmp_path / "a.pth")
    assert not list(tmp_path.iterdir())

  refused(tiny_release(), "encoder is efficientnet-lite0, .* resnet101")
  other = release.EncoderSpec("resnet18", ("layer4",), spec.mean, spec.std)
  # The parameters do not fit any more; only the encoder is looked at.
  changed = object.__new__(release.Release)
  for field in dataclasses.fields(release.Release):
    object.__setattr__(changed, field.name, getattr(captioner, field.name))
  object.__setattr__(changed, "encoder", other)
  refused(changed, "layers layer4, but the original pools layers conv1,layer1")


def test_the_command_writes_and_reads_back(captioner, tmp_path):
  release.save_release(captioner, tmp_path / "captioner")
  out = tmp_path / "out.pth"
  found = run_here("convert", "--official", tmp_path / "captioner", out)
  assert found.returncode == 0, found.stderr
  assert f"{out}: sha256 " in found.stdout and "left out" not in found.stdout
  found = run_here("convert", "--official", tmp_path / "captioner", out)
  assert found.returncode == 2 and "exists" in found.stderr
  found = run_here("convert", out, tmp_path / "back")
  assert found.returncode == 0, found.stderr
  back = release.load_release(tmp_path / "back")
  expected = release.load_release(tmp_path / "captioner")
  jax.tree.map(np.testing.assert_array_equal, back.params, expected.params)
  assert back.decoding == expected.decoding
