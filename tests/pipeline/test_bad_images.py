"""A folder of all that may be wrong with a picture, described from end to end."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNREADABLE = ("corrupt.png", "huge.png", "text.jpg", "truncated.jpg", "zero.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Pictures of every odd kind between plain ones."""
  folder = tmp_path_factory.mktemp("odd")
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
    *("--model=tests.pipeline.tiny_network:build", "--layers=0", "--k=4"),
    *(f"--images={folder}", f"--milan={captioner}", f"--workdir={tmp_path / 'run'}"),
    *("--probe_batch_size=4", "--strategy=greedy", "--workers=2"),
  ]
  found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert found.returncode == 0, found.stderr
  assert "Traceback" not in found.stderr and "Warning" not in found.stderr
  for name in UNREADABLE:
    assert f"skipped {name}: " in found.stderr
  assert found.stderr.count("skipped ") == len(UNREADABLE)
  meta = json.loads((tmp_path / "run" / "exemplars" / "meta.json").read_text())
  assert tuple(name for name, _ in meta["info"]["skipped"]) == UNREADABLE
  names = sorted(path.name for path in folder.iterdir())
  ids = np.load(tmp_path / "run" / "exemplars" / "image_ids.npy")
  stored = json.loads((tmp_path / "run" / "exemplars" / "image_names.json").read_text())
  # Positions are those in the folder, whatever could be read.
  assert stored == [names[index] for index in ids]
  assert (tmp_path / "run" / "index.html").exists()
