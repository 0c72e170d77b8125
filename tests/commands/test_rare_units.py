"""Units that fire on fewer images than they are asked exemplars of: whole runs."""

import csv
import json

import numpy as np
import pytest

from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.store.feature_store import open_features
from tests.helpers import site_data
from tests.helpers.runs import make_module, run

IMAGES, RARE, K = 28, (3, 10, 17, 24), 15
# Fires where there is much green; is signed; always fires; never does; fires once more
# often than it has exemplars.
FUNCTION = """
import jax.numpy as jnp
def net(images):
  green = images[..., 1] - images.mean(-1)
  light = images[..., 0]
  units = [green - 0.5, green, light + 10, light - 10]
  latents = [jnp.maximum(unit, 0) if i != 1 else unit for i, unit in enumerate(units)]
  return {"latents": jnp.stack(latents, -1)}
"""
GREEN, SIGNED, ALWAYS, NEVER = range(4)


@pytest.fixture(scope="module")
def runs(captioner, tmp_path_factory):
  """Runs with options of their own over 28 gray images, four with a green square."""
  folder = tmp_path_factory.mktemp("rare")
  rng = np.random.default_rng(0)
  images = rng.integers(60, 200, (IMAGES, 32, 32, 1), np.uint8).repeat(3, -1)
  for place, image in enumerate(RARE):
    left = 3 * place
    square = images[image, 4:20, left : left + 16]
    square[..., [0, 2]] = 20
    square[..., 1] = rng.integers(180, 256, (16, 16))
  np.save(folder / "images.npy", images)
  made = {}

  def describe(**options):
    name = "-".join(map(str, options.values()))
    if name not in made:
      make_module(FUNCTION, "rare")
      made[name] = run(
        folder / name,
        model="rare:net",
        image_size="32",
        images=str(folder / "images.npy"),
        milan=str(captioner),
        workers=0,
        probe_batch_size=4,
        strategy="greedy",
        batch_size=4,
        length=4,
        **options,
      )
    return made[name]

  return describe


def _rows(folder):
  with (folder / "descriptions.csv").open(newline="") as file:
    return list(csv.DictReader(file))


def test_a_rare_unit_is_described_from_the_images_on_which_it_fires(runs):
  many, few = runs(k=K), runs(k=len(RARE))
  found, expected = _rows(many)[GREEN], _rows(few)[GREEN]
  assert found["description"] == expected["description"]
  assert (
    open_features(many / "features")
    .read(GREEN, GREEN + 1)[0, : len(RARE)]
    .any(-1)
    .all()
  )
  for name in ("score", "log_prob", "lm_log_prob", "margin"):
    assert float(found[name]) == pytest.approx(float(expected[name]), abs=1e-5)
  parity = _rows(runs(k=K, parity=True, mi=False))[GREEN]
  assert abs(float(parity["log_prob"]) - float(found["log_prob"])) > 1e-3


def test_store_csv_and_page_say_on_how_many_images_units_fire(runs):
  folder = runs(k=K)
  store = open_exemplars(folder / "exemplars").exemplars("latents")
  assert store.num_firing.tolist() == [len(RARE), IMAGES, IMAGES, 0]
  assert set(store.image_ids[GREEN, : len(RARE)].tolist()) == set(RARE)
  assert store.num_regions.tolist() == [len(RARE), K, K, K]
  fires = [(row["fires"], row["images"]) for row in _rows(folder)]
  assert fires == [("4", "28"), ("28", "28"), ("28", "28"), ("0", "28")]
  found = site_data.columns(folder)
  assert found["fires"].tolist() == [4, 28, 28, -1], "nothing is known of a dead unit"
  assert found["images"].tolist() == [28, 28, 28, -1]
  units = json.loads((folder / "catalog.json").read_text())["units"]
  assert [(unit["fires"], unit["num_images"]) for unit in units] == [
    (4, 28),
    (28, 28),
    (28, 28),
    (0, 28),
  ]


def test_the_page_shows_the_regions_that_count(runs):
  counted, parity = (
    [details[0, row].get("activations", []) for row in range(4)]
    for details in map(site_data.details, (runs(k=K), runs(k=K, parity=True, mi=False)))
  )
  assert [len(each) for each in counted] == [len(RARE), K, K, K]
  assert [len(each) for each in parity] == [K] * 4
  tiles = [
    site_data.columns(runs(**how))["tiles"][GREEN]
    for how in ({"k": K}, {"k": K, "parity": True, "mi": False})
  ]
  assert tiles == [len(RARE), 5 * -(-K // 5)]


def test_features_by_themselves_know_it_too(runs, captioner, tmp_path):
  folder = runs(k=K)
  store = open_features(folder / "features")
  assert store.num_regions(0, 4).tolist() == [len(RARE), K, K, K]
  assert not store.read(GREEN, GREEN + 1)[0, len(RARE) :].any()
  again = run(
    tmp_path / "again",
    features=str(folder / "features"),
    milan=str(captioner),
    strategy="greedy",
    batch_size=4,
    length=4,
  )
  assert _rows(again) == _rows(folder)


def test_units_that_fire_often_are_described_as_before(runs):
  """But for the last digits: the same words by the other program."""
  found, before = _rows(runs(k=K)), _rows(runs(k=K, parity=True, mi=False))
  for unit in (SIGNED, ALWAYS, NEVER):
    assert found[unit]["description"] == before[unit]["description"]
    found_score, score = float(found[unit]["log_prob"]), float(before[unit]["log_prob"])
    assert found_score == pytest.approx(score, abs=1e-5)
