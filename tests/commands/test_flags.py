"""Flags and configuration files."""

import pathlib
import re
import subprocess
import sys

import pytest

from milan_jax._src.commands import flags
from milan_jax._src.errors import UserError
from milan_jax._src.options.catalog import CatalogOptions
from milan_jax._src.options.data import AnnotatedDataOptions
from milan_jax._src.options.describe import DescribeOptions
from milan_jax._src.options.experiments import (
  GeneralizeOptions,
  ScoreOptions,
  SweepOptions,
)
from milan_jax._src.options.fields import options_of, values_of
from milan_jax._src.options.lab import (
  BenchOptions,
  ConvertOptions,
  CorpusOptions,
  EvalOptions,
)
from milan_jax._src.options.local_page import LocalPageOptions
from milan_jax._src.options.train import TrainOptions
from milan_jax._src.version import __version__

ROOT = pathlib.Path(__file__).resolve().parents[2]

KINDS = (
  *(BenchOptions, ConvertOptions, CorpusOptions, DescribeOptions, EvalOptions),
  *(TrainOptions, AnnotatedDataOptions, ScoreOptions, GeneralizeOptions),
  *(SweepOptions, CatalogOptions, LocalPageOptions),
)
FILE = """
from milan_jax import DescribeOptions

def get_config():
  return DescribeOptions.of(beam_size=7, layers="a,b")
"""


def _parse(*arguments):
  return flags.parse(DescribeOptions, ["describe", *arguments])[0]


@pytest.fixture
def path(tmp_path):
  path = tmp_path / "config.py"
  path.write_text(FILE)
  return path


def test_no_argument_gives_the_defaults():
  assert _parse() == DescribeOptions()


def test_a_flag_wins_over_the_file_and_an_override_changes_it(path):
  config = _parse(
    f"--config={path}", "--layers=c", "--config.temperature=0.5", "--parity"
  )
  expected = DescribeOptions.of(beam_size=7, layers="c", temperature=0.5, parity=True)
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
  assert _parse(*(each.format(path=path) for each in arguments)).decoding.mi is mi


def test_every_option_has_a_help_text():
  for kind in KINDS:
    assert all(one.help for one in options_of(kind).values())


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
    FILE.replace("Describe", "Train").replace('beam_size=7, layers="a,b"', "")
  )
  with pytest.raises(UserError, match="expected DescribeOptions, found TrainOptions"):
    _parse(f"--config={path}")


def test_help_lists_every_flag(capsys):
  with pytest.raises(SystemExit):
    _parse("--help")
  printed = capsys.readouterr().out
  for name in values_of(DescribeOptions()):
    assert re.search(rf"^  --(\[no\])?{name}\b", printed, re.MULTILINE), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flag", ["-h", "--help", "--helpshort", "--helpfull"])
def test_every_way_to_ask_for_help(kind, flag, capsys):
  with pytest.raises(SystemExit) as end:
    flags.parse(kind, ["command", flag])
  assert not end.value.code
  assert capsys.readouterr().out.startswith(kind.__doc__[:40])


def test_the_version(capsys):
  with pytest.raises(SystemExit) as end:
    _parse("--version")
  assert not end.value.code
  assert capsys.readouterr().out == f"milan-jax {__version__}\n"


@pytest.mark.parametrize("command", ["describe", "train"])
def test_help_comes_without_jax(command):
  script = (
    "import sys\n"
    f"from milan_jax._src.commands.milan_{command} import main\n"
    "sys.argv = ['command', '-h']\n"
    "try: main()\n"
    "finally: assert 'jax' not in sys.modules"
  )
  found = subprocess.run(
    [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT
  )
  assert (found.returncode, found.stderr) == (0, "")
  assert "--workdir" in found.stdout


@pytest.mark.parametrize("separator", ["=", None])
def test_a_shipped_configuration_is_found_from_anywhere(
  separator, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  given = ["--config=configs/starter.py"]
  if separator is None:
    given = given[0].split("=")
  found, _ = flags.parse(TrainOptions, ["train", *given, "--config.seed=3"])
  assert (found.run.workdir, found.run.seed) == ("runs/starter", 3)
  with pytest.raises(UserError, match=r"configs/none\.py"):
    _parse("--config=configs/none.py")


def test_a_configuration_of_ones_own_comes_first(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "configs").mkdir()
  (tmp_path / "configs" / "parity.py").write_text(FILE)
  assert _parse("--config=configs/parity.py").decoding.beam_size == 7
