"""Finished runs opened from Python, and the strips of their units."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import milan_jax
from tests.helpers.commands import run_here


@pytest.fixture(scope="module")
def run(scene):
  folder, _ = scene
  return milan_jax.open_run(folder / "finished")


def test_a_run_has_what_its_files_have(scene, run):
  folder, names = scene
  with (folder / "finished" / "descriptions.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert [entry.text for entry in run.descriptions] == [
    row["description"] for row in rows
  ]
  assert [entry.unit.index for entry in run.descriptions] == list(range(8))
  assert run.layers == ("conv2",) and run.captioner == str(folder / "captioner")
  unit = run.unit("conv2/5")
  assert unit == milan_jax.Unit("conv2", 5)
  assert run.description(unit) == run.descriptions[5]
  found = names["exemplars"].exemplars("conv2")
  images, masks = run.regions(unit)
  count = min(int(found.num_firing[5]) or 5, 5)
  assert len(images) == len(masks) == count
  expected = names["images"][found.image_ids[5, :count]]
  np.testing.assert_array_equal(images, expected)
  both = [milan_jax.Unit("conv2", 6), unit]
  features = run.features_of(both)
  np.testing.assert_array_equal(
    features.read(0, 2), names["features"].read(0, 8)[[6, 5]]
  )
  chosen = run.exemplars_of(both).exemplars("conv2")
  np.testing.assert_array_equal(chosen.image_ids, found.image_ids[[6, 5]])


def test_a_strip_shows_the_regions_as_they_are(run):
  unit = run.unit("conv2/5")
  (images, masks), size = run.regions(unit), 226
  whole = np.asarray(Image.open(io.BytesIO(run.strip(unit))))
  assert whole.shape[1] == 1138
  # Far from every border, a pixel is the image's, at 0.35 of its brightness outside.
  for place in range(min(5, len(images))):
    large = Image.fromarray(images[place]).resize(
      (size, size), Image.Resampling.LANCZOS
    )
    pixels = np.asarray(large).astype(int)
    corners = np.arange(size) * 32 // size
    inside = masks[place][corners][:, corners]
    # No pixel of a mask is lost when it is resized: its border may differ by one.
    near = np.lib.stride_tricks.sliding_window_view(np.pad(inside, 2), (5, 5))
    inner, outer = near.all((2, 3)), near.any((2, 3))
    tile = whole[:size, place * (size + 2) : place * (size + 2) + size].astype(int)
    is_yellow = (tile == (255, 221, 0)).all(-1)
    expected = np.where(inside[..., None], pixels, np.round(pixels * 0.35))
    far = inner | ~outer
    np.testing.assert_array_equal(tile[far], expected[far])
    assert is_yellow.any() == (inside.any() and not inside.all())
    assert not (is_yellow & far).any()


def test_a_run_whose_exemplars_are_gone(scene, run, tmp_path):
  folder, _ = scene
  shutil.copytree(folder / "finished", tmp_path / "moved")
  path = tmp_path / "moved" / "config.json"
  known = json.loads(path.read_text())
  known["config"]["exemplars"] = str(tmp_path / "gone")
  path.write_text(json.dumps(known))
  moved = milan_jax.open_run(tmp_path / "moved")
  assert not moved.has_exemplars and moved.descriptions == run.descriptions
  assert "<img" not in moved._repr_html_() and "<img" in run._repr_html_()
  np.testing.assert_array_equal(
    moved.features_of([moved.unit("conv2/2")]).read(0, 1), run.features.read(2, 3)
  )
  with pytest.raises(milan_jax.UserError, match="gone, where there is no folder"):
    moved.strip(moved.unit("conv2/2"))


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("conv2/8", "there is no such unit; expected one of conv2/0, conv2/1"),
    ("conv2/3-off", "there is no such unit"),
    ("conv2/³", "there is no such unit"),
    ("conv2", "expected LAYER/UNIT of a layer among conv2"),
    ("<b>/1", "expected LAYER/UNIT of a layer among conv2"),
  ],
)
def test_units_that_a_run_lacks(run, name, message):
  with pytest.raises(milan_jax.UserError, match=message):
    run.unit(name)


def test_the_command_writes_the_same_strip_again(scene, run):
  folder, _ = scene
  arguments = ("--show", "conv2/5", "--workdir", folder / "finished")
  before = (folder / "finished" / "descriptions.csv").read_bytes()
  found = run_here("describe", *arguments)
  path = folder / "finished" / "strips" / "conv2" / "5.png"
  assert (found.returncode, found.stdout) == (0, f"{path}\n"), found.stderr
  assert path.read_bytes() == run.strip(run.unit("conv2/5"))
  assert (folder / "finished" / "descriptions.csv").read_bytes() == before


def test_the_command_refuses_what_is_not_a_finished_run(scene, tmp_path):
  folder, _ = scene
  absent = run_here("describe", "--show", "conv2/5", "--workdir", tmp_path / "none")
  assert absent.returncode == 2 and "does not hold a run" in absent.stderr
  other = run_here("describe", "--show", "conv2/9", "--workdir", folder / "finished")
  assert other.returncode == 2 and "no such unit" in other.stderr
  half = tmp_path / "half"
  half.mkdir()
  config = {"config": {"milan": "starter", "model": "m"}, "inputs": {}}
  (half / "config.json").write_text(json.dumps(config))
  begun = run_here("describe", "--show", "conv2/5", "--workdir", half)
  assert begun.returncode == 2 and "is not finished" in begun.stderr
  assert not (tmp_path / "none").exists()
