"""The units that docs/starter.md judges one by one are those that the seed draws."""

import collections
import pathlib
import re

from milan_jax._src.lab.evaluation.drawn import LAYERS, NUMBER, drawn_units
from milan_jax._src.records import Unit

CARD = pathlib.Path(__file__).resolve().parents[3] / "docs" / "starter.md"


def _rows():
  pattern = r"^\| `([^`]+)` \| (\d+) \| ([^|]+) \| (yes|partly|no) \|"
  return re.findall(pattern, CARD.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_card_judges_the_units_that_are_drawn():
  units = [Unit(layer, int(index)) for layer, index, _, _ in _rows()]
  assert units == drawn_units()
  assert len(set(units)) == NUMBER * len(LAYERS) == 60


def test_the_cards_shares_are_those_of_its_rows():
  counts = collections.Counter(verdict for _, _, _, verdict in _rows())
  told = re.search(
    r"Right are (\d+) of 60 .*?partly right (\d+) .*?wrong (\d+) ", CARD.read_text()
  )
  assert told is not None
  assert [counts[name] for name in ("yes", "partly", "no")] == [
    int(number) for number in told.groups()
  ]
