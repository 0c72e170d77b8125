"""Every example of docs/probing.md, as a reader would run it."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.helpers.commands import run_here

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "probing.md").read_text()
SECTIONS = {
  section.split("\n")[0]: re.findall(r"```(python|bash)\n(.*?)```", section, re.DOTALL)
  for section in PAGE.split("\n## ")[1:]
}
EXAMPLES = [name for name, blocks in SECTIONS.items() if blocks]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
  """A folder of twenty pictures."""
  folder = tmp_path_factory.mktemp("pictures") / "photographs"
  folder.mkdir()
  rng = np.random.default_rng(0)
  for number in range(20):
    coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(coarse).resize((256, 256)).save(folder / f"{number}.png")
  return folder


def test_there_is_an_example_for_each_kind_of_model():
  rows = re.findall(r"^\|.*\]\(#([a-z-]+)\)", PAGE, re.MULTILINE)
  assert len(rows) == 9
  assert [name.lower().replace(" ", "-") for name in EXAMPLES] == rows


@pytest.fixture
def reader(photographs, tmp_path, monkeypatch):
  """A reader's folder with photographs in it, where the examples' modules are new."""
  (tmp_path / "photographs").symlink_to(photographs)
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(str(tmp_path))
  monkeypatch.delitem(sys.modules, "mynets", raising=False)
  yield tmp_path
  sys.modules.pop("mynets", None)


def _describe(name, flags):
  """Runs the first example as a reader does, the others here: that imports once."""
  if name != EXAMPLES[0]:
    return run_here("describe", *flags)
  return subprocess.run(
    [sys.executable, str(ROOT / "describe.py"), *flags],
    env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
    capture_output=True,
    text=True,
  )


@pytest.mark.filterwarnings("ignore")  # of exporters
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example(name, reader):
  described = 0
  for kind, block in SECTIONS[name]:
    if file := re.match(r"# (\w+\.py)\n", block):
      (reader / file[1]).write_text(block)
      continue
    if kind == "python":
      exec(compile(block, name, "exec"), {"__name__": "__main__"})
      continue
    lines = [shlex.split(line) for line in block.splitlines()]
    assert all(line[0] == "milan-describe" for line in lines)
    for _, *flags in lines:
      found = _describe(name, flags)
      assert found.returncode == 0, found.stderr
      if "--workdir" in flags:
        workdir = reader / flags[flags.index("--workdir") + 1]
        assert (workdir / "index.html").exists()
        rows = (workdir / "descriptions.csv").read_text().splitlines()
        described += len(rows) - 1
  assert described >= 4
