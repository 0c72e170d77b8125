"""Flags and configuration files."""

import dataclasses

import pytest

from milan_jax import flags
from milan_jax.config import Describe
from milan_jax.errors import UserError

FILE = """
from milan_jax.config import Describe

def get_config():
  return Describe(beam_size=7, layers="a,b")
"""


def _parse(*arguments):
  return flags.parse(Describe, ["describe", *arguments])[0]


@pytest.fixture
def path(tmp_path):
  path = tmp_path / "config.py"
  path.write_text(FILE)
  return path


def test_no_argument_gives_the_defaults():
  assert _parse() == Describe()


def test_a_flag_wins_over_the_file_and_an_override_changes_it(path):
  config = _parse(
    f"--config={path}", "--layers=c", "--config.temperature=0.5", "--parity"
  )
  expected = Describe(beam_size=7, layers="c", temperature=0.5, parity=True)
  assert config == expected


@pytest.mark.parametrize(
  ("arguments", "mi"),
  [
    ([], None),
    (["--mi"], True),
    (["--nomi"], False),
    (["--mi=false"], False),
    (["--config={path}", "--config.mi=true"], True),
    (["--config={path}", "--nomi"], False),
  ],
)
def test_an_option_that_was_not_given_is_neither_on_nor_off(path, arguments, mi):
  assert _parse(*(each.format(path=path) for each in arguments)).mi is mi


def test_every_option_has_a_help_text():
  for field in dataclasses.fields(Describe):
    assert field.metadata["help"]


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--beamsize=3", "beamsize"),
    ("--beam_size=many", "beam_size"),
    ("--config=none.py", "none.py"),
  ],
)
def test_bad_flags(argument, message):
  with pytest.raises(UserError, match=message):
    _parse(argument)


def test_an_unknown_field_of_the_file(path):
  with pytest.raises(UserError, match="nonsense"):
    _parse(f"--config={path}", "--config.nonsense=3")


def test_a_file_for_another_command(tmp_path):
  path = tmp_path / "config.py"
  path.write_text(
    FILE.replace("Describe", "Convert").replace('beam_size=7, layers="a,b"', "")
  )
  with pytest.raises(UserError, match="expected a Describe, found a Convert"):
    _parse(f"--config={path}")


def test_help_lists_every_flag(capsys):
  with pytest.raises(SystemExit):
    _parse("--help")
  printed = capsys.readouterr().out
  for field in dataclasses.fields(Describe):
    assert f"--{field.name}" in printed
