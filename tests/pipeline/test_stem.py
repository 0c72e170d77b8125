"""The starter captioner on stem units, whose truth is in their kernels."""

import numpy as np
import pytest

from milan_jax.config import Describe
from milan_jax.pipeline.describe import describe
from milan_jax.store.descriptions import read_descriptions
from tests.pipeline.stem_kernels import Preference, preferences


@pytest.fixture(scope="module")
def described(tmp_path_factory):
  """The stem's units, described over the packaged photographs."""
  options = Describe(
    workdir=str(tmp_path_factory.mktemp("stem") / "run"), layers="bn0", page=False
  )
  keywords = {
    name: value for name, value in vars(options).items() if name != "list_layers"
  }
  found = read_descriptions(describe(**keywords))
  return {unit.index: text for unit, text in found.items()}


def test_three_quarters_agree_with_their_kernels(described):
  truth = preferences()
  assert len(described) == 32
  agree = {unit: known.agrees(described[unit]) for unit, known in truth.items()}
  wrong = {unit: described[unit] for unit, right in agree.items() if not right}
  assert np.mean(list(agree.values())) >= 0.75, wrong


def test_the_judge_tells_units_apart(described):
  """Another unit's description agrees with a kernel far more rarely."""
  truth = preferences()
  mixed = [
    known.agrees(described[other])
    for unit, known in truth.items()
    for other in truth
    if other != unit
  ]
  assert np.mean(mixed) < 0.35


def test_the_judge_by_hand():
  red = Preference(frozenset({"red"}), frozenset())
  assert red.agrees("Bright red things")
  assert not red.agrees("Bored people")
  assert not red.agrees("Green things with no red lines")
  level = Preference(frozenset(), frozenset({"horizontal"}))
  assert level.agrees("Lines going from left to right")
  assert not level.agrees("Vertical edges")
