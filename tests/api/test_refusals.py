"""Wrong input from Python ends in one sentence: what was expected, what was found."""

import json
import os
import pathlib
import re
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import milan_jax
from milan_jax._src.api.exemplar_digests import digest_of
from milan_jax._src.api.stores import folder_to_write
from tests.api.odd_objects import IMAGES, Source
from tests.api.wrong_calls import CALLS, UNIT, _described

FLAG = re.compile(r"(^|\W)--[a-z]")
ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def raised(tmp_path_factory):
  """What each wrong call raised."""
  folder = tmp_path_factory.mktemp("wrong")
  found = subprocess.run(
    [sys.executable, "-m", "tests.api.wrong_calls", str(folder)],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  return json.loads(found.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CALLS)
def test_wrong_input(name, raised):
  kind, message, left = raised[name]
  assert kind == "UserError", message
  assert re.search(CALLS[name][1], message) and "\n" not in message, message
  assert not FLAG.search(message), message
  assert not left


def test_what_was_withheld_is_not_written_as_an_annotation(scene, tmp_path):
  _, names = scene
  said = [
    _described(UNIT),
    _described(milan_jax.Unit("conv2", 1), "No clear pattern", guess="Cats"),
  ]
  milan_jax.write_original(tmp_path / "original", names["exemplars"], said)
  lines = (tmp_path / "original" / "annotations.csv").read_text().splitlines()
  assert lines == ["layer,unit,summary", "conv2,0,Dots"]


def test_numbers_and_lists_are_taken_as_texts_are(scene):
  _, names = scene
  module, variables = names["module"], names["variables"]
  as_text = milan_jax.probe(
    module, variables, image_size="16x32", mean="0.5,0.5,0.5", std="0.25,0.25,0.25"
  )
  as_numbers = milan_jax.probe(
    module, variables, image_size=(16, 32), mean=[0.5] * 3, std=(0.25,) * 3
  )
  assert as_text.geometry == as_numbers.geometry
  images = np.zeros((1, 16, 32, 3), np.uint8)
  np.testing.assert_array_equal(
    *(
      network.probe.activations(images, ("conv2",))["conv2"]
      for network in (as_text, as_numbers)
    )
  )


def test_a_captioner_compiles_a_way_to_decode_once(scene):
  _, names = scene
  captioner = names["captioner"]
  assert captioner.decoder() is captioner.decoder(captioner.decoding)
  assert captioner.decoder(batch_size=8) is not captioner.decoder()
  assert "greedy" in repr(captioner) and "conv2" in repr(names["exemplars"])
  assert repr(captioner.decoder(batch_size=8)) == (
    "Decoder(strategy='greedy', batch_size=8, feature_size=32)"
  )
  assert repr(names["network"]) == (
    "Network(LinenProbe, images of 32 x 32 pixels, default_layers=('conv1', "
    "'__call__'), weights='as they were given')"
  )


def test_a_source_may_give_arrays_of_jax(scene):
  _, names = scene
  both = [
    milan_jax.collect(names["network"], images, layers=["conv2"], k=5)
    for images in (Source(jnp.asarray), IMAGES)
  ]
  found, expected = (each.exemplars("conv2") for each in both)
  for name in ("image_ids", "activations", "thresholds"):
    np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
  np.testing.assert_array_equal(*(each.images(np.array([3])) for each in both))


def test_the_digest_of_given_regions_is_of_what_is_seen():
  masks = np.ones((1, 2, 32, 32), bool)
  regions = [
    milan_jax.from_regions(images[None], own)
    for images in (IMAGES[:2], IMAGES[2:4])
    for own in (masks, np.triu(masks))
  ]
  assert len({digest_of(each) for each in regions}) == 4
  assert digest_of(regions[0]) == digest_of(
    milan_jax.from_regions(IMAGES[None, :2].copy(), masks)
  )


def test_a_folder_that_is_not_ours_is_refused(tmp_path, monkeypatch):
  """As seen by somebody else: whoever runs the tests may write everywhere."""
  access = os.access
  monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
  with pytest.raises(
    milan_jax.UserError, match=f"may be written in {tmp_path}: choose"
  ):
    folder_to_write("folder", tmp_path / "new" / "folder")
  monkeypatch.setattr(os, "access", access)
  assert folder_to_write("folder", tmp_path / "new") == tmp_path / "new"


def test_empty_masks_are_reported(capfd):
  masks = np.ones((2, 2, 32, 32), bool)
  masks[1, 1] = False
  milan_jax.from_regions(IMAGES[:4].reshape(2, 2, 32, 32, 3), masks)
  assert "1 of 4 masks are empty" in capfd.readouterr().err


def test_arrays_of_another_size_are_reported(scene, capfd):
  _, names = scene
  images = np.zeros((6, 40, 24, 3), np.uint8)
  images += np.arange(6, dtype=np.uint8)[:, None, None, None]
  milan_jax.collect(names["network"], images, layers=["conv2"], k=2)
  assert (
    "images are resized to 37 pixels and cropped to 32 x 32" in capfd.readouterr().err
  )
