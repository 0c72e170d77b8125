"""Annotated networks for experiments, by name and as folders."""

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.experiments.encoded_sets import read_experiment_sets
from milan_jax._src.experiments.named_cases import chosen_cases
from milan_jax._src.options.experiments import SetsOptions
from milan_jax._src.store.milannotations import NETWORKS, hyphenated
from tests.store.fake_milannotations import UNITS, write_network


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  folder = tmp_path_factory.mktemp("networks")
  for name in NETWORKS:
    write_network(folder, name, images=True)
  return folder


def _read(root, data, seed=0, **options):
  lines = []
  options = SetsOptions(data=data, data_root=str(root), **options)
  return read_experiment_sets(options, seed=seed, say=lines.append), lines


def test_the_networks_of_the_papers_table(root):
  found, _ = _read(root, "base,dino_vits8/imagenet")
  assert list(found) == [hyphenated(name) for name in NETWORKS]
  names = {case.experiment for case in chosen_cases(None, tuple(found))}
  assert {"across-architecture", "across-dataset", "across-task"} < names
  one = found["biggan-imagenet"]
  assert [unit.index for unit in one.units()] == [*UNITS, *UNITS]
  layers = {one.joined(unit).layer for unit in one.units()}
  assert layers == {"biggan-imagenet:3", "biggan-imagenet:10"}
  known = one.known()
  assert set(known) == {one.joined(unit) for unit in one.units()}
  assert known[one.joined(one.units()[0])] == [
    f"{word} of biggan-imagenet" for word in ("dogs", "Dogs", "red cars")
  ]


def test_units_with_few_annotations_are_left_out(root):
  found, lines = _read(root, "cls", min_annotations=3, max_annotations=3)
  for one in found.values():
    assert 1 not in {unit.index for unit in one.units()}
    assert {len(texts) for texts in one.annotations.values()} == {3}
  assert any("fewer than 3" in line for line in lines)


def test_some_units_are_drawn_with_the_seed(root):
  def drawn(seed):
    found, _ = _read(root, "gen", seed=seed, units=3)
    return {name: one.units() for name, one in found.items()}

  first = drawn(0)
  assert first == drawn(0) and {len(units) for units in first.values()} == {3}
  assert any(first != drawn(seed) for seed in range(1, 4))
  found, _ = _read(root, "gen", units=3)
  for one in found.values():
    assert set(one.annotations) == set(one.units())


def test_two_folders_of_one_name_are_refused(root, tmp_path):
  write_network(tmp_path, NETWORKS[0], images=True)
  with pytest.raises(UserError, match="the name alexnet-imagenet"):
    _read(root, f"{NETWORKS[0]},{tmp_path / NETWORKS[0]}")
