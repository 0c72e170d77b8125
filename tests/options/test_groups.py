"""Every group of options checks its fields when it is made."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import pytest

from milan_jax._src.options import lab
from milan_jax._src.options.fields import Checked, group_type
from tests.options.wrong_values import KINDS, MODULES, OPTIONS, WRONG

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def raised():
  """What each wrong value raised."""
  found = subprocess.run(
    [sys.executable, "-m", "tests.options.wrong_values"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  return json.loads(found.stdout.splitlines()[-1])


def test_all_groups_are_looked_at():
  declared = {
    value
    for module in MODULES
    for value in vars(module).values()
    if dataclasses.is_dataclass(value) and value.__module__ == module.__name__
  }
  groups = {group_type(kind, one.group) for kind, one in OPTIONS if one.group}
  assert declared == groups | {*KINDS, lab.ConvertOptions}
  assert all(issubclass(kind, Checked) for kind in declared)


@pytest.mark.parametrize(
  ("kind", "one"),
  OPTIONS,
  ids=lambda value: getattr(value, "flag", None) or value.__name__,
)
def test_a_wrong_value(kind, one, raised):
  found = raised[f"{kind.__name__}.{one.flag}"]
  value, expected = WRONG[one.kind]
  expected += " or None" if one.optional else ""
  sentence = f": expected {expected}; found {value!r}."
  assert found["type"] == [f"{one.field}{sentence}", f"--{one.flag}{sentence}"]
  assert found["of"] == [f"{one.flag}{sentence}", f"--{one.flag}{sentence}"]
  if one.choices:
    sentence = f": expected one of {', '.join(one.choices)}; found 'unheard'."
    assert found["choice"][0] == f"{one.field}{sentence}"
  if not one.optional:
    assert found["none"][0] == f"{one.field}: expected {expected}; found None."


def test_something_in_place_of_a_group(raised):
  assert [words for words, _ in raised["groups"]] == [
    "model: expected ModelOptions; found 'resnet'.",
    "data: expected DataOptions; found None.",
  ]


def test_lists_and_paths_are_taken_as_the_command_line_writes_them(raised):
  found = raised["lists"]
  assert found["values"] == [
    *("photos", "runs/a", "conv1,conv2", "0,1,2", "64x32", "0.5,0.25,0.5"),
    *("0.5", "a*=NHWC", "a,b", "1,5", "0,1"),
  ]
  assert [words for words, _ in found["raised"]] == [
    "layers: expected at least one value; found none.",
    "units: expected texts or numbers; found True.",
    "strategy: expected a text or None; found ['beam'].",
  ]


def test_numbers_are_kept_as_pythons_own(raised):
  assert raised["numbers"] == ["int", "float"]
