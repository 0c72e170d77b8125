"""Paths that cannot be: one sentence and exit code 2, whichever command reads them."""

import pytest

from tests.helpers.commands import run_here

LONG = "x" * 300
OPENED_REMOTELY = ("train", "features")


@pytest.fixture
def table(tmp_path):
  """A table that is in order, for the options that are not tried."""
  path = tmp_path / "table.csv"
  path.write_text("layer,unit,description,summary\nconv,0,red,red\n")
  return path


@pytest.mark.parametrize(
  ("command", "flags"),
  [
    ("score", ("--descriptions={bad}", "--annotations={table}")),
    ("score", ("--descriptions={table}", "--annotations={bad}")),
    ("score", ("--descriptions={table}", "--annotations={table}", "--split={bad}")),
    ("catalog", ("--runs={bad}",)),
    ("catalog", ("--exemplars={bad}", "--annotations={table}")),
    ("data", ("stats", "--data={bad}")),
    ("train", ("--exemplars={bad}", "--workdir={folder}/run")),
    ("features", ("--exemplars={bad}", "--workdir={folder}/run")),
    ("annotate", ("--exemplars={bad}", "--workdir={folder}/run")),
    ("generalize", ("--data={bad}", "--workdir={folder}/run")),
    ("sweep", ("--data={bad}", "--workdir={folder}/run")),
    ("convert", ("{bad}", "{folder}/release")),
  ],
)
@pytest.mark.parametrize("bad", [LONG, "{table}/x", "gs://bucket/x"])
def test_an_impossible_path_is_named_in_one_sentence(
  tmp_path, table, command, flags, bad
):
  names = {"table": table, "folder": tmp_path / "new"}
  names["bad"] = bad.format(**names)
  if bad.startswith("gs://") and command in OPENED_REMOTELY:
    pytest.skip("it opens remote exemplars")
  found = run_here(command, *(flag.format(**names) for flag in flags))
  assert found.returncode == 2, found.stdout + found.stderr
  assert found.stderr.startswith(f"milan-{command}: ")
  assert names["bad"] in found.stderr and len(found.stderr.splitlines()) == 1
  assert not (tmp_path / "new").exists()
