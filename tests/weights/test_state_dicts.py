"""Checkpoints as training scripts leave them, each read by the model's own names."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from milan_jax._src.errors import UserError
from milan_jax._src.weights.state_dicts import read_state_dict
from tests.weights.test_torch_files import assert_same


class Small(torch.nn.Module):
  def __init__(self):
    super().__init__()
    torch.manual_seed(0)
    self.conv = torch.nn.Conv2d(3, 4, 3)
    self.bn = torch.nn.BatchNorm2d(4)
    self.head = torch.nn.Linear(4, 2)

  def forward(self, x):
    return self.head(self.bn(self.conv(x)).mean((2, 3)))


NET = Small()
STATE = NET.state_dict()
OTHER = {name: torch.zeros_like(value) for name, value in STATE.items()}


def under(prefix, state=STATE):
  return {prefix + name: value for name, value in state.items()}


def read(value, tmp_path, names=STATE):
  """What is read of a value that torch saved, and what was said."""
  torch.save(value, tmp_path / "a.pth")
  said = []
  return read_state_dict(tmp_path / "a.pth", names, say=said.append), " ".join(said)


BESIDE = {
  "a tensor": {
    "state_dict": under("module."),
    "epoch": 90,
    "best_acc1": torch.ones(()),
  },
  "a decay": {"model": under("module."), "ema_decay": torch.tensor(0.99)},
  "a queue": {"state_dict": STATE, "queue": torch.zeros(2, 3)},
  "many tensors": {"model": STATE, **{f"t{n}": torch.ones(n) for n in range(20)}},
  "an optimizer": {
    "optimizer": {"state": {"conv.weight": torch.ones(1)}},
    "optimizer_ema": STATE | {"conv.weight": torch.ones(1)},
    "model_state_dict": STATE,
  },
  "a counter inside": {**STATE, "epoch": 3, "arch": "small", "args": {"lr": 0.1}},
  "deep": {"trainer": {"network": {"net": STATE}}},
  "another net": {"discriminator": {"conv.weight": torch.ones(2)}, "generator": STATE},
}


@pytest.mark.parametrize("value", BESIDE.values(), ids=BESIDE)
def test_a_state_dict_beside_other_things(value, tmp_path):
  assert_same(read(value, tmp_path)[0], dict(STATE))


PREFIXES = {
  "data parallel": (under("module."), "'module.'"),
  "twice": (under("module.module."), "'module.module.'"),
  "lightning": ({"state_dict": under("model.")}, "'model.'"),
  "averaged": ({**under("module."), "n_averaged": torch.tensor(3)}, "n_averaged left"),
  "momentum": (
    {**under("encoder_q."), **under("encoder_k.", OTHER), "queue": torch.ones(9)},
    r"'encoder_q.' was .* \('encoder_k.' would fit as well\), and .* more left",
  ),
  "compiled": (under("_orig_mod."), "^$"),
  "compiled, then parallel": (under("module._orig_mod."), "'module.'"),
}


@pytest.mark.parametrize(("value", "told"), PREFIXES.values(), ids=PREFIXES)
def test_a_prefix_is_taken_off_and_said(value, told, tmp_path):
  found, said = read(value, tmp_path)
  assert_same(found, dict(STATE))
  assert re.search(told, said), said


def test_a_part_that_was_compiled(tmp_path):
  value = {name.replace("conv.", "conv._orig_mod."): one for name, one in STATE.items()}
  assert_same(read(value, tmp_path)[0], dict(STATE))


def test_a_prefix_that_the_model_has_and_the_file_lacks(tmp_path):
  found, said = read(STATE, tmp_path, under("backbone."))
  assert_same(found, under("backbone."))
  assert "added the prefix 'backbone.'" in said


@pytest.mark.parametrize(
  ("plain", "averaged"),
  [
    ("state_dict", "state_dict_ema"),
    ("model", "model_ema"),
    ("model_state_dict", "ema_state_dict"),
    ("net", "EMA"),
  ],
)
def test_of_two_sets_of_weights_the_averaged_ones_are_read_and_said(
  plain, averaged, tmp_path
):
  for value in ({plain: OTHER, averaged: STATE}, {averaged: STATE, plain: OTHER}):
    found, said = read(value, tmp_path)
    assert_same(found, dict(STATE))
    assert f"reading {averaged}, ignoring {plain}. To read" in said


def test_averaged_weights_of_little_are_no_model(tmp_path):
  found, _ = read({"model": STATE, "ema": {"conv.weight": torch.ones(1)}}, tmp_path)
  assert_same(found, dict(STATE))


def test_a_module_that_was_pickled_whole(tmp_path):
  found, _ = read({"epoch": 3, "model": NET}, tmp_path)
  assert_same(found, dict(STATE))


def test_names_that_do_not_fit_are_left_to_the_model(tmp_path):
  found, said = read(under("net.", {"a": torch.ones(1)}), tmp_path)
  assert list(found) == ["net.a"] and not said


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_safetensors(dtype, tmp_path):
  floats = {k: v.to(dtype) if v.is_floating_point() else v for k, v in STATE.items()}
  mixed = {**STATE, "conv.weight": STATE["conv.weight"].to(dtype)}
  for value in (floats, mixed):
    save_file(value, tmp_path / "a.safetensors")
    found = read_state_dict(tmp_path / "a.safetensors")
    assert_same({name: found[name] for name in value}, value)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_floats_of_eight_bits_are_refused(dtype, tmp_path):
  save_file({"a": torch.ones(2).to(dtype)}, tmp_path / "a.safetensors")
  with pytest.raises(
    UserError, match=r"a\.safetensors has 'a' of the unsupported dtype F8_E"
  ):
    read_state_dict(tmp_path / "a.safetensors")


def shards(tmp_path, end):
  parts = {f"1-of-2{end}": {}, f"2-of-2{end}": {}}
  weight_map = {}
  for number, (name, value) in enumerate(STATE.items()):
    file = list(parts)[number % 2]
    parts[file][name], weight_map[name] = value, file
  for file, part in parts.items():
    (save_file if end == ".safetensors" else torch.save)(part, tmp_path / file)
  index = tmp_path / f"model{end}.index.json"
  index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
  return index


@pytest.mark.parametrize("end", [".safetensors", ".bin"])
def test_shards_with_an_index(end, tmp_path):
  index = shards(tmp_path, end)
  expected = {name: value.numpy() for name, value in STATE.items()}
  for place in (index, tmp_path):
    found = read_state_dict(place, STATE)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
      np.testing.assert_array_equal(found[name], value)


def test_shards_that_are_not_whole(tmp_path):
  index = shards(tmp_path, ".bin")
  known = json.loads(index.read_text())
  for weight_map, message in (
    ({"more": "1-of-2.bin", **known["weight_map"]}, "lists 1 tensors .* 'more'"),
    ({"conv.weight": "../a.bin"}, "to name files in its folder"),
    ({"conv.weight": "3-of-2.bin"}, r"3-of-2\.bin cannot be opened"),
    ([], "expected JSON with a weight_map"),
  ):
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(UserError, match=message):
      read_state_dict(index)
  index.write_text("{")
  with pytest.raises(UserError, match="expected JSON"):
    read_state_dict(index)
  index.unlink()
  with pytest.raises(UserError, match=r"is a folder without a file \*\.index\.json"):
    read_state_dict(tmp_path)
