"""A catalog of two networks with made-up units, whose every count is known."""

import numpy as np
import pytest

from milan_jax._src.catalog import page, site_data
from milan_jax._src.catalog.distributions import Bins, UnitDistribution
from milan_jax._src.records import Hypothesis, Unit

EVIL = "<script>alert(1)</script>"
TEXTS = [
  "Red flowers",
  "Green leaves of plants",
  "Dogs with floppy ears",
  "Cats and dogs",
  "Blue sky",
  EVIL,
  "Red flowers",
  "Wooden doors",
]
SAMPLES, FEW = 240, 9
# The second layer's images are twice as wide as high.
SHAPES = {"conv/1": (16, 16), EVIL: (8, 16)}
# Of 400 images, 396 are below the threshold of 4.5.
DISTRIBUTION = UnitDistribution(
  values=Bins(-1.0, 0.5, [0, 0, 700, 90, 0, 0, 5, 0, 0, 4, 0, 1, 0]),
  maxima=Bins(0.0, 1.0, [300, 90, 6, 0, 0, 3, 0, 0, 1]),
  regions=lambda: (np.full((3, 16, 16, 3), 90, np.uint8), np.ones((3, 16, 16), bool)),
  activations=[8.25, 5.5, 0.5],
  shares=[1, 3, 396],
  below=[False, False, True],
  names=["a.jpg", EVIL, "c.jpg"],
)


def _units(layer, number, shift=0):
  rng = np.random.default_rng(number)
  height, width = SHAPES[layer]

  def regions():
    images = rng.integers(0, 255, (15, height, width, 3), np.uint8)
    return images, images[..., 0] > 128

  for index in range(number):
    text = TEXTS[(index + shift) % len(TEXTS)]
    withheld = index % 8 == 4
    yield page.PageUnit(
      Unit(layer, index, "off" if index == 7 else "on"),
      "No clear pattern" if withheld else text,
      regions,
      scores={
        "score": -float(index),
        "log p(text | regions)": -2.0,
        "log p(text)": -5.0,
      },
      dead=index == number - 1,
      confidence=(index % 100) / 100,
      guess=text if withheld else "",
      fires=(index + 1, 400),
      activations=np.linspace(9, 5, 15).tolist(),
      threshold=4.5,
      names=[f"{EVIL}{place}.jpg" for place in range(15)],
      maps=lambda: np.arange(15 * 49, dtype=np.float32).reshape(15, 7, 7),
      image_shape=(height, width),
      features=lambda index=index: np.array([index + 1.0, index % 8, 1], np.float32),
      annotations=("A bed of tulips", EVIL) if index == 0 else (),
      others={"elsewhere": "petals", EVIL: EVIL} if index == 0 else {},
      distribution=DISTRIBUTION if index == 0 else None,
      hypotheses=(
        Hypothesis(text, -1.0, -2.0, -9.0),
        Hypothesis("Things", -1.5, -1.0, -3.0),
      ),
    )


# Number, text and whether withheld or dead of every unit, by hand.
UNITS = [
  (
    index,
    "" if index == number - 1 else TEXTS[(index + shift) % len(TEXTS)],
    "dead" if index == number - 1 else "withheld" if index % 8 == 4 else "described",
  )
  for turn in (0, 1)
  for number, shift in ((SAMPLES, turn), (FEW, 0))
  for index in range(number)
]


def count_units(fits):
  """How many units a condition on number, text and state holds of."""
  return sum(map(bool, (fits(*unit) for unit in UNITS)))


def write_two_networks(folder):
  """Writes the catalog; the vectors of its texts are made by hand."""
  vectors = {text: [100, place, 0] for place, text in enumerate(TEXTS)}
  vectors |= {"Red flowers": [0, 0, 100], "Green leaves of plants": [0, 30, 90]}

  def meanings(texts):
    return np.array([vectors.get(text, [0, 100, 0]) for text in texts], np.int8)

  networks = [
    page.Network(
      page.PageInfo(
        name, name, "16 images", facts={EVIL: f"`{EVIL}`"}, notes=(f"{EVIL} `{EVIL}`",)
      ),
      ("conv/1", EVIL),
      [*_units("conv/1", SAMPLES, shift), *_units(EVIL, FEW)],
      "a",
      key,
    )
    for key, name, shift in (("one", "First network", 0), ("two", EVIL, 1))
  ]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(site_data, "meanings", meanings)
    return page.write_site(folder, f"Two networks {EVIL}", networks)
