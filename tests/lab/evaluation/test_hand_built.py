"""Units built by hand, on pictures of which a person knows the answer."""

import jax
import numpy as np
import pytest
from PIL import Image

from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.lab.evaluation import hand_built_units, lettering
from milan_jax._src.store.exemplar_store import StoredExemplars
from milan_jax._src.text.judge import judge
from tests.lab.corpus.pictures import bars, disc, flat, halves, noise

NAMES = [truth.name for truth in hand_built_units.truths()]
COLORS = NAMES[:11]
EDGES = NAMES[11:23]
RED, DARK, LIGHT = (220, 20, 30), (30, 30, 30), (230, 230, 230)


@pytest.fixture(scope="module")
def peaks():
  """The strongest place of every unit, away from the border."""
  compiled = jax.jit(hand_built_units.activations)

  def find(image):
    found = np.asarray(compiled(image[None] / np.float32(255)))[0]
    assert found.shape == (56, 56, len(NAMES)) and np.isfinite(found).all()
    return dict(zip(NAMES, found[8:-8, 8:-8].max((0, 1)).tolist(), strict=True))

  return find


def _strongest(found, among):
  return max(among, key=found.__getitem__)


@pytest.mark.parametrize(
  ("color", "shade"),
  [
    *(("red", RED), ("orange", (245, 130, 20)), ("yellow", (250, 225, 30))),
    *(("green", (40, 150, 40)), ("blue", (30, 80, 210)), ("purple", (130, 40, 180))),
    *(("pink", (250, 140, 190)), ("brown", (100, 60, 30)), ("white", (250, 250, 250))),
    *(("gray", (128, 128, 128)), ("black", (8, 8, 8))),
  ],
)
def test_colors(peaks, color, shade):
  found = peaks(flat(shade))
  assert _strongest(found, COLORS) == f"{color} areas"
  assert found[f"{color} areas"] > 0.5
  assert max(found[name] for name in EDGES) < 1e-3


@pytest.mark.parametrize(
  ("angle", "names"),
  [
    (0, {"coarse horizontal edges", "edges that are dark above"}),
    (90, {"coarse vertical edges", "edges that are dark on the right"}),
    (180, {"coarse horizontal edges", "edges that are dark below"}),
    (270, {"coarse vertical edges", "edges that are dark on the left"}),
  ],
)
def test_edges_and_their_sides(peaks, angle, names):
  found = peaks(halves(DARK, LIGHT, angle))
  order = sorted(EDGES, key=found.__getitem__)
  assert set(order[-2:]) == names
  others = [
    name for name in EDGES if not set(name.split()) & {"horizontal", "vertical"}
  ]
  assert all(found[name] < 0.1 * found[order[-1]] for name in others if "side" in name)


@pytest.mark.parametrize("angle", [45, 135])
def test_diagonal_edges(peaks, angle):
  found = peaks(halves(DARK, LIGHT, angle))
  assert "diagonal" in _strongest(found, EDGES)


def test_the_two_diagonals_differ():
  compiled = jax.jit(hand_built_units.activations)
  best = {
    int(
      np.asarray(compiled(halves(DARK, LIGHT, angle)[None] / np.float32(255)))
      .max((0, 1, 2))[15:19]
      .argmax()
    )
    for angle in (45, 135)
  }
  assert best == {1, 3}


def test_spots_stripes_and_textures(peaks):
  bright, dark = peaks(disc(LIGHT, DARK, radius=5)), peaks(disc(DARK, LIGHT, radius=5))
  assert bright["bright spots"] > 5 * bright["dark spots"]
  assert dark["dark spots"] > 5 * dark["bright spots"]
  level, upright = peaks(bars(0, period=10)), peaks(bars(90, period=10))
  assert level["horizontal stripes"] > 10 * level["vertical stripes"]
  assert upright["vertical stripes"] > 10 * upright["horizontal stripes"]
  once = peaks(halves(DARK, LIGHT))
  assert once["horizontal stripes"] < 0.3 * level["horizontal stripes"]
  rough, plain = peaks(noise()), peaks(flat((120, 120, 120)))
  assert rough["fine texture"] > 0.05 > 1e-3 > plain["fine texture"]
  assert plain["smooth areas"] > 0.9 > 0.1 > rough["smooth areas"]
  assert (
    peaks(flat(LIGHT))["bright areas"] > 0.8 > 0.2 > peaks(flat(DARK))["bright areas"]
  )


@pytest.mark.parametrize("truth", hand_built_units.truths(), ids=lambda t: t.name)
def test_a_units_name_is_a_right_description(truth):
  found = judge(truth.name, truth)
  assert found.lenient and found.strict
  assert not judge("faces of cats", truth).lenient


def test_lettering_stands_in_its_region(tmp_path):
  for name, shade in (("a", 90), ("b", 200)):
    Image.fromarray(flat((shade,) * 3)).save(tmp_path / f"{name}.png")
  lettering.write_lettering(tmp_path, tmp_path / "store", seed=0)
  lettering.write_lettering(tmp_path, tmp_path / "again", seed=0)
  store, again = (StoredExemplars(tmp_path / name) for name in ("store", "again"))
  found = store.exemplars(lettering.LAYER)
  assert len(found.units) == len(lettering.truths()) == 3
  plain = FolderImages(tmp_path, Geometry(256, 224))
  sources = [plain.load(index) for index in range(2)]
  for row in range(3):
    slots = np.arange(lettering.K)
    masks = store.masks(lettering.LAYER, np.full_like(slots, row), slots)
    images = store.images(found.image_rows[row])
    np.testing.assert_array_equal(images, again.images(found.image_rows[row]))
    assert len(np.unique(found.image_rows[row])) == lettering.K
    for image, mask in zip(images, masks, strict=True):
      ink = min(
        (np.abs(image.astype(int) - each).max(-1) > 40 for each in sources), key=np.sum
      )
      assert 0.005 < ink.mean() < mask.mean() < 0.6
      assert ink[mask].sum() > 0.85 * ink.sum()
