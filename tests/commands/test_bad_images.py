"""A folder of all that may be wrong with a picture, described from end to end."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.catalog.run_page import RunFacts, write_run_page
from milan_jax._src.exemplars.stats import LayerStatistics
from milan_jax._src.files.atomic import write_json
from milan_jax._src.files.names import shown
from milan_jax._src.images.arrays import ArrayImages
from milan_jax._src.records import Description, Unit
from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.store.exemplar_store import write_exemplars

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNREADABLE = (
  *("corrupt.png", "huge.png", "text.jpg", "truncated.jpg"),
  *("video\ufffd.png", "zero.png"),
)
# Names that are not UTF-8, as old archives have them.
FOLDER, RUN, CAFE, VIDEO = map(
  os.fsdecode, (b"f\xe9te", b"r\xe9s", b"caf\xe9", b"video\xe9")
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Pictures of every odd kind between plain ones."""
  folder = tmp_path_factory.mktemp("odd") / FOLDER
  folder.mkdir()
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (64, 80, 3), np.uint8)
  plain = Image.fromarray(pixels)
  for number in range(12):
    Image.fromarray(np.roll(pixels, number, 1)).save(folder / f"plain{number:02d}.png")
  plain.convert("CMYK").save(folder / "cmyk.jpg")
  plain.convert("P").save(folder / "palette.png")
  deep = rng.integers(0, 65536, (64, 64), np.uint16)
  Image.fromarray(deep).save(folder / "deep.png")
  frames = [Image.fromarray(np.roll(pixels, shift)) for shift in range(3)]
  frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
  Image.new("RGB", (1, 1), (9, 9, 9)).save(folder / "one.png")
  Image.new("RGB", (20000, 1), (9, 9, 9)).save(folder / "wide.png")
  Image.new("L", (20000, 20000)).save(folder / "huge.png")
  (folder / "zero.png").write_bytes(b"")
  plain.save(folder / f"{CAFE}.png")
  (folder / f"{VIDEO}.png").write_bytes(b"")
  (folder / "text.jpg").write_text("no picture")
  plain.save(folder / "truncated.jpg")
  whole = (folder / "truncated.jpg").read_bytes()
  (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
  plain.save(folder / "corrupt.png")
  whole = bytearray((folder / "corrupt.png").read_bytes())
  whole[len(whole) // 2] ^= 255
  (folder / "corrupt.png").write_bytes(bytes(whole))
  return folder


def test_what_cannot_be_read_is_named_and_the_rest_described(
  folder, captioner, tmp_path
):
  command = [
    *(sys.executable, str(ROOT / "describe.py")),
    *("--model=tests.helpers.tiny_network:build", "--layers=0", "--k=4"),
    *(f"--images={folder}", f"--milan={captioner}", f"--workdir={tmp_path / RUN}"),
    *("--probe_batch_size=4", "--strategy=greedy", "--workers=2"),
  ]
  found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert found.returncode == 0, found.stderr
  assert "Traceback" not in found.stderr and "Warning" not in found.stderr
  for name in UNREADABLE:
    assert f"skipped {name}: " in found.stderr
  assert found.stderr.count("skipped ") == len(UNREADABLE)
  meta = json.loads((tmp_path / RUN / "exemplars" / "meta.json").read_text())
  assert tuple(name for name, _ in meta["info"]["skipped"]) == UNREADABLE
  names = [shown(name) for name in sorted(path.name for path in folder.iterdir())]
  assert "caf\ufffd.png" in names
  ids = np.load(tmp_path / RUN / "exemplars" / "image_ids.npy")
  stored = json.loads((tmp_path / RUN / "exemplars" / "image_names.json").read_text())
  # Positions are those in the folder, whatever could be read.
  assert stored == [names[index] for index in ids]
  assert (tmp_path / RUN / "index.html").exists()
  assert "from " + shown(str(folder)) in (tmp_path / RUN / "index.html").read_text()
  config = json.loads((tmp_path / RUN / "config.json").read_text())
  assert config["config"]["images"] == str(folder)


def test_a_page_of_exemplars_whose_folder_is_so_named(tmp_path):
  folder = tmp_path / FOLDER
  layer = LayerStatistics(
    image_ids=np.arange(6).reshape(2, 3),
    activations=np.ones((2, 3), np.float32),
    maps=np.ones((2, 3, 2, 2), np.float32),
    thresholds=np.zeros(2, np.float32),
    dead=np.zeros(2, bool),
    num_bad_maps=np.zeros(2, int),
    num_ties=np.zeros(2, int),
  )
  write_exemplars(folder, {"a": layer}, ArrayImages(np.zeros((6, 8, 8, 3), np.uint8)))
  facts = RunFacts(network=str(folder), images="", captioner="starter")
  found = open_exemplars(folder)
  said = [Description(Unit("a", unit), "Dots", 0.0, 0.0) for unit in range(2)]
  page = write_run_page(tmp_path / "page", found, said, facts).read_text()
  assert "the units of f\ufffdte respond to" in page


@pytest.mark.parametrize("name", [b"a\xe9.png", "a\u00e9.png".encode(), b"\xff\xfe"])
def test_names_come_back_from_json(tmp_path, name):
  write_json(tmp_path / "a.json", os.fsdecode(name))
  text = (tmp_path / "a.json").read_text(encoding="utf-8")
  assert os.fsencode(json.loads(text)) == name
