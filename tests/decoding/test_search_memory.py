"""Sizes that no memory holds are refused before any of it is asked for."""

import dataclasses
import re
import tracemalloc

import pytest

from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.decoding.search_memory import check_search_fits, search_bytes
from milan_jax._src.errors import UserError
from milan_jax._src.options.decoding import Decoding

MEMORY = 24 * 10**9


@pytest.mark.parametrize(
  ("changes", "batch_size", "message"),
  [
    ({"beam_size": 1_000_000}, 64, r"beam_size 1000000 .* and the cpu has 24 GB: "),
    ({"beam_size": 10**9}, 1, r"would take about .* beam_size \d+ would fit"),
    ({}, 10**9, r"batch_size 1000000000 .* batch_size \d+ would fit"),
    ({"length": 10**9}, 64, "lower length too"),
    ({"length": 10**9, "strategy": "greedy"}, 64, r": batch_size 1 would fit"),
    ({"beam_size": 10**12, "length": 10**12}, 10**12, "lower length too"),
    ({"beam_size": 100_000, "consensus": 2.0}, 1, r": beam_size \d+ would fit"),
  ],
)
def test_absurd_sizes_are_refused_with_what_would_fit(
  tiny, changes, batch_size, message
):
  decoding = dataclasses.replace(Decoding(), **changes)
  tracemalloc.start()
  with pytest.raises(UserError, match=message) as caught:
    check_search_fits(tiny, decoding, batch_size, MEMORY)
  assert tracemalloc.get_traced_memory()[1] < 10_000_000
  tracemalloc.stop()
  # What is said to fit does, and one more does not.
  for name, size in re.findall(r"--(\w+) (\d+)", str(caught.value).split(": ")[-1]):
    for more, fits in ((0, True), (1, False)):
      sizes = {"batch_size": batch_size, "beam_size": decoding.beam_size}
      sizes[name] = int(size) + more
      if decoding.strategy == "greedy":
        sizes["beam_size"] = 1
      assert (search_bytes(tiny, decoding, **sizes) <= MEMORY) == fits


def test_usual_sizes_pass(tiny):
  for beam_size, batch_size in ((50, 64), (50, 1024), (500, 64)):
    check_search_fits(tiny, Decoding(beam_size=beam_size), batch_size, MEMORY)
  check_search_fits(tiny, Decoding(), 64)  # of this machine


def test_the_estimate_is_near_what_the_compiler_plans(tiny):
  decoding = Decoding(beam_size=100)
  planned = Decoder(tiny, decoding, batch_size=32).memory_bytes(3)
  estimate = search_bytes(tiny, decoding, 32, 100)
  assert planned / 3 < estimate < 1.5 * planned
