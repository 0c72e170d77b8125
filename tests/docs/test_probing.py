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
  assert len(rows) == 8
  assert [name.lower().replace(" ", "-") for name in EXAMPLES] == rows


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example(name, photographs, tmp_path):
  (tmp_path / "photographs").symlink_to(photographs)
  environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
  described = 0
  for kind, block in SECTIONS[name]:
    file = re.match(r"# (\w+\.py)\n", block)
    if file:
      (tmp_path / file[1]).write_text(block)
      continue
    commands = [[sys.executable, "-c", block]]
    if kind == "bash":
      lines = [shlex.split(line) for line in block.splitlines()]
      assert all(line[0] == "milan-describe" for line in lines)
      commands = [
        [sys.executable, str(ROOT / "describe.py"), *line[1:]] for line in lines
      ]
    for command in commands:
      found = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
      )
      assert found.returncode == 0, found.stderr
      if "--workdir" in command:
        workdir = tmp_path / command[command.index("--workdir") + 1]
        assert (workdir / "index.html").exists()
        rows = (workdir / "descriptions.csv").read_text().splitlines()
        described += len(rows) - 1
  assert described >= 4
