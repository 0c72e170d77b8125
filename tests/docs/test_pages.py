"""Every Python block of the pages, run in the order of the page.

docs/probing.md has a test of its own: its examples are files and commands too.
"""

import json
import logging
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

import milan_jax
from tests.api.conftest import scene  # noqa: F401
from tests.helpers.one_size import one_size
from tests.models import torch_networks

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted(
  path
  for path in (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *ROOT.glob("docs/*.md"),
  )
  if "```python" in path.read_text() and path.name != "probing.md"
)


@pytest.fixture
def names(scene, tmp_path, monkeypatch):  # noqa: F811
  """What the pages take as given, in a folder with photographs."""
  folder, known = scene
  monkeypatch.chdir(tmp_path)
  (tmp_path / "photographs").mkdir()
  rng = np.random.default_rng(0)
  for number in range(20):
    coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(coarse).resize((64, 64)).save(f"photographs/{number}.png")
  # The captioner that ships takes a minute to compile: a tiny one stands for it.
  monkeypatch.setattr(milan_jax, "load", lambda name: known["captioner"])
  finished = milan_jax.open_run(folder / "finished")
  monkeypatch.setattr(milan_jax, "open_run", lambda folder: finished)
  weights = torch_networks.network("resnet18").state_dict()
  return {
    "module": known["module"],
    "variables": known["variables"],
    "state_dict": {key: value.numpy() for key, value in weights.items()},
    "images": np.zeros((1, 64, 64, 3), np.uint8),
    "features": known["features"].read(0, 8),
    "rows": np.array([0, 1]),
    "slots": np.array([0, 2]),
  }


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_python_of_a_page(page, names, capsys):
  try:
    _run_blocks(page, names)
  finally:
    logging.getLogger("milan_jax").setLevel(logging.NOTSET)


def _run_blocks(page, names):
  for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
    assert "milan_jax._src" not in block, "pages import what is public"
    exec(block, names)


def test_probing_takes_what_is_public():
  page = (ROOT / "docs" / "probing.md").read_text()
  blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
  assert not [block for block in blocks if "milan_jax._src" in block]


def test_the_notebook(tmp_path, monkeypatch, capsys, optimized):
  """Its cells, with the captioner that ships; what they print is as it is shown."""
  cells = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text())["cells"]
  code = [cell for cell in cells if cell["cell_type"] == "code"]
  monkeypatch.chdir(tmp_path)
  names: dict[str, object] = {}
  for cell in code:
    capsys.readouterr()
    with one_size():
      exec("".join(cell["source"]), names)
    shown = "".join("".join(output.get("text", "")) for output in cell["outputs"])
    assert len(capsys.readouterr().out.splitlines()) == len(shown.splitlines())
    for output in cell["outputs"]:
      if output["output_type"] == "execute_result":
        value = eval("".join(cell["source"]), names)
        rows = "".join(output["data"]["text/html"]).count("<tr>")
        assert value._repr_html_().count("<tr>") == rows > 1
  said = {entry.unit.index: entry.text.lower() for entry in names["descriptions"]}
  words = ["red", "blue", "white|bright|light", "dark|black", "dark|edge", "edge|left"]
  for index, word in enumerate(words):
    assert re.search(word, said[index]), said
  assert (tmp_path / "page" / "index.html").stat().st_size > 2000
