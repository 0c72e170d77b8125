"""The same error names a flag on the command line, and an argument in Python."""

import re

import numpy as np
import pytest

import milan_jax
from milan_jax._src.errors import UserError, arguments
from tests.helpers.commands import run_here

FLAG = re.compile(r"(^|\W)--[a-z]")
TINY = "tests.helpers.tiny_network:build"


@pytest.fixture(scope="module")
def given(scene, tmp_path_factory):
  """Images and a captioner on disk, a file, and a run of another k."""
  folder, names = scene
  found = tmp_path_factory.mktemp("doors")
  np.save(found / "images.npy", names["images"])
  (found / "a_file").touch()
  return {
    "images": str(found / "images.npy"),
    "captioner": str(folder / "captioner"),
    "file": str(found / "a_file"),
    "annotated": str(folder / "annotated"),
    "new": str(found / "new"),
    "loaded": names["captioner"],
    "features": names["features"],
  }


def _collect(given, **options):
  network = milan_jax.probe(TINY, **options.pop("model", {}))
  return milan_jax.collect(network, given["images"], **options)


def _decode(given, **options):
  options = milan_jax.DecodingOptions(**options)
  return given["loaded"].describe(given["features"], options=options)


def _train(given, **options):
  options = milan_jax.TrainOptions.of(**options)
  return milan_jax.train(given["annotated"], workdir=given["new"], options=options)


# A call in Python, the flags that ask for the same, and how both begin or go on: the
# command line's words, then Python's.
DOORS = {
  "batch of the network": (
    lambda given: _collect(given, batch_size=0),
    ["--probe_batch_size=0"],
    "--probe_batch_size=0: expected 1 or more",
    "batch_size=0: expected 1 or more",
  ),
  "a batch too large": (
    lambda given: _collect(given, batch_size=10**10),
    ["--probe_batch_size=10000000000"],
    "--probe_batch_size=10000000000 would take",
    "batch_size=10000000000 would take",
  ),
  "a batch too large, through the options": (
    lambda given: milan_jax.DescribeOptions.of(probe_batch_size=0),
    ["--probe_batch_size=0"],
    "--probe_batch_size=0: expected",
    "probe_batch_size=0: expected",
  ),
  "too few images": (
    lambda given: _collect(given, k=99),
    ["--k=99"],
    "99 exemplars of a unit (--k)",
    "99 exemplars of a unit (k)",
  ),
  "no such layer": (
    lambda given: _collect(given, layers="zzz"),
    ["--layers=zzz"],
    "--list_layers shows all",
    "network.probe.layers() shows all",
  ),
  "a layout of no layer": (
    lambda given: _collect(given, model={"layouts": "x*=NHWC"}),
    ["--layouts=x*=NHWC"],
    "--layouts: x*=NHWC fits no layer: --list_layers, without it, shows",
    "layouts: x*=NHWC fits no layer: network.probe.layers(), without it, shows",
  ),
  "a size": (
    lambda given: _collect(given, model={"image_size": "-3"}),
    ["--image_size=-3"],
    "--image_size=-3: expected",
    "image_size=-3: expected",
  ),
  "a file as workdir": (
    lambda given: _collect(given, workdir=given["file"]),
    ["--workdir={file}"],
    "--workdir: {file} is a file",
    "workdir: {file} is a file",
  ),
  "an ignored option": (
    lambda given: _decode(given, strategy="greedy", temperature=0.5),
    ["--strategy=greedy", "--temperature=0.5"],
    "--temperature: --strategy greedy does not use it (add --mi, or take rerank)",
    "temperature: strategy greedy does not use it (add mi, or take rerank)",
  ),
  "too large a search": (
    lambda given: _decode(given, strategy="beam", beam_size=10**9),
    ["--strategy=beam", "--beam_size=1000000000"],
    "--batch_size 64 with --beam_size 1000000000",
    "batch_size 64 with beam_size 1000000000",
  ),
}
TRAINING = {
  "a size of training": (
    lambda given: _train(given, hidden_size=0),
    ["--hidden_size=0"],
    "--hidden_size: expected 1 to",
    "hidden_size: expected 1 to",
  ),
  "a projection": (
    lambda given: _train(given, encoder="resnet18"),
    ["--encoder=resnet18"],
    "state dict (.pth, .pt or .safetensors) with --encoder_weights",
    "state dict (.pth, .pt or .safetensors) with encoder_weights",
  ),
}


def _check(door, given, printed):
  call, _, with_flag, with_argument = door
  paths = {name: value for name, value in given.items() if isinstance(value, str)}
  assert with_flag.format(**paths) in printed
  with pytest.raises(UserError) as raised:
    call(given)
  message = str(raised.value)
  assert with_argument.format(**paths) in message
  assert not FLAG.search(message), message


@pytest.mark.parametrize("name", DOORS)
def test_describing(name, given):
  flags = [flag.format(**given) for flag in DOORS[name][1]]
  found = run_here(
    "describe",
    f"--model={TINY}",
    f"--images={given['images']}",
    f"--milan={given['captioner']}",
    f"--workdir={given['new']}",
    *flags,
  )
  assert found.returncode == 2
  _check(DOORS[name], given, found.stderr)


@pytest.mark.parametrize("name", TRAINING)
def test_training(name, given):
  found = run_here(
    "train",
    f"--exemplars={given['annotated']}",
    f"--workdir={given['new']}",
    *TRAINING[name][1],
  )
  assert found.returncode == 2
  _check(TRAINING[name], given, found.stderr)


def test_another_configuration_is_named_by_its_argument(given, tmp_path):
  _collect(given, layers="0", k=2, batch_size=4, workdir=tmp_path)
  with pytest.raises(UserError, match=r"\(batch_size is 4 there and 8 here\)"):
    _collect(given, layers="0", k=2, batch_size=8, workdir=tmp_path)


def test_only_flags_are_renamed():
  error = UserError("--milan: a-b--c, runs/--d and x --e=3 (--k), -- or ---f.")
  assert error.for_command_line == error.args[0]
  assert str(error) == "milan: a-b--c, runs/--d and x e=3 (k), -- or ---f."


def test_the_outermost_caller_names_the_argument():
  named = arguments(flag="outer"), arguments(flag="inner")
  with pytest.raises(UserError, match=r"^outer=3$"), named[0], named[1]:
    raise UserError("--flag=3")
