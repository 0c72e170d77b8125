"""A finished run in which every text is HTML."""

import dataclasses

import numpy as np
import pytest

import milan_jax
from milan_jax._src.store.region_sets import RegionSetWriter
from tests.helpers.tiny_release import tiny_release

LAYER = "<img src=x onerror=alert(1)>"
WORD = "<script>alert(2)</script>"


@pytest.fixture(scope="session")
def evil_run(tmp_path_factory):
  """The run directory; its captioner describes by words of HTML."""
  folder = tmp_path_factory.mktemp("evil")
  rng = np.random.default_rng(0)
  with RegionSetWriter(folder / "exemplars", LAYER, k=3, size=224) as writer:
    for unit in range(4):
      coarse = rng.integers(0, 256, (3, 14, 14, 3), np.uint8)
      images = coarse.repeat(16, 1).repeat(16, 2)
      rows = [writer.image(f"{unit}-{slot}", images[slot]) for slot in range(3)]
      masks = np.zeros((3, 224, 224), bool)
      masks[:, 40 * unit : 40 * unit + 60, 30:120] = True
      writer.add(unit, rows, masks)
  release = tiny_release()
  words = tuple(f"{WORD}{number}" for number in range(len(release.vocabulary)))
  decoding = milan_jax.Decoding("greedy", length=4)
  release = dataclasses.replace(release, vocabulary=words, decoding=decoding)
  # At random it would choose special tokens, which are not shown.
  bias = release.params["captioner"]["output"]["bias"].copy()
  bias[len(words) :] = -9
  release.params["captioner"]["output"]["bias"] = bias
  milan_jax.Captioner(release).save(folder / "<b>captioner")
  milan_jax.describe(
    milan_jax.DescribeOptions.of(
      exemplars=str(folder / "exemplars"),
      milan=str(folder / "<b>captioner"),
      workdir=str(folder / "<i>run"),
      batch_size=1,
      page=False,
    )
  )
  return folder / "<i>run"
