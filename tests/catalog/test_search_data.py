"""What the site searches by: words, kinds of words, meaning and nearest units."""

import numpy as np
import pytest

from milan_jax._src.catalog import meaning, nearest, word_kinds
from milan_jax._src.catalog.columns import column
from milan_jax._src.catalog.word_index import word_index
from tests.helpers import site_data


def _texts_of(index):
  """Reads the index back, as the page does."""
  data = site_data.column(index["texts"], "u1").tolist()
  found = {}
  for word, count in zip(index["words"], index["counts"], strict=True):
    texts, last = [], 0
    for _ in range(count):
      step = shift = 0
      while True:
        byte = data.pop(0)
        step |= (byte & 127) << shift
        shift += 7
        if byte < 128:
          break
      last += step
      texts.append(last)
    found[word] = texts
  assert not data
  return found


def test_the_index_has_every_word_of_every_text():
  texts = ["Red dogs, red cats"] + [f"Number {i} of it" for i in range(20_000)]
  texts += ["Ünder the_sea", "\U0001f600 dogs \uffe6x", ""]
  index = word_index(texts)
  found = _texts_of(index)
  assert found["red"] == [0]
  assert found["dogs"] == [0, 20_002]
  assert found["number"] == list(range(1, 20_001))
  assert found["19999"] == [20_000]
  assert found["ünder"] == found["the"] == found["sea"] == [20_001]
  keys = [word.encode("utf-16-be") for word in index["words"]]
  assert keys == sorted(keys)


def test_unknown_numbers_of_a_column():
  np.testing.assert_array_equal(
    site_data.column(column([1.5, None, -2], "f4"), "<f4"), [1.5, np.nan, -2]
  )
  assert site_data.column(column([3, None], "i4"), "<i4").tolist() == [3, -1]


@pytest.mark.parametrize(
  ("text", "kinds"),
  [
    ("Red and blue stripes", {"color", "pattern"}),
    ("Dogs on the grass", {"animal", "plant"}),
    ("Wooden doors of houses", {"material", "place"}),
    ("Letters on a guitar", {"text", "thing"}),
    ("Bright leaves", {"light", "plant"}),
    ("Many different things", set()),
    ("No clear pattern", {"pattern"}),
    ("", set()),
  ],
)
def test_kinds_of_words(text, kinds):
  assert set(word_kinds.names_of(word_kinds.kinds_of(text))) == kinds


@pytest.mark.parametrize("number", [3, 40, 1500])
def test_nearest_rows_are_those_of_brute_force(number, monkeypatch):
  monkeypatch.setattr(nearest, "_TOGETHER", 7)
  rng = np.random.default_rng(number)
  vectors = rng.normal(size=(number, 5)).astype(np.float32)
  vectors[1] = 0  # unknown
  places, cosines = nearest.nearest_rows(vectors, 4)
  known = np.delete(np.arange(number), 1)
  some = vectors[known].astype(np.float64)
  some -= some.mean(0)
  some /= np.linalg.norm(some, axis=1, keepdims=True)
  products = some @ some.T
  np.fill_diagonal(products, -np.inf)
  kept = min(4, number - 2)
  order = np.argsort(-products, axis=1)[:, :kept]
  np.testing.assert_array_equal(places[known, :kept], known[order])
  np.testing.assert_allclose(
    cosines[known, :kept], np.take_along_axis(products, order, 1), atol=1e-5
  )
  assert (places[1] == -1).all() and (places[known, kept:] == -1).all()


def test_short_vectors_keep_the_cosines():
  rng = np.random.default_rng(0)
  vectors = rng.normal(size=(200, 8)) @ rng.normal(size=(8, 384))
  vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
  short = meaning.shortened(vectors.astype(np.float32)).astype(np.float64)
  assert short.shape == (200, meaning.WIDTH) and np.abs(short).max() == 127
  short /= np.linalg.norm(short, axis=1, keepdims=True)
  np.testing.assert_allclose(short @ short.T, vectors @ vectors.T, atol=0.02)


def test_a_fixed_projection_nearly_keeps_cosines():
  rng = np.random.default_rng(1)
  a, b = rng.normal(size=(2, 1000)).astype(np.float32)
  project = nearest.Projection()
  one, two = project(a), project(a + b)
  expected = a @ (a + b) / np.linalg.norm(a) / np.linalg.norm(a + b)
  found = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
  assert abs(found - expected) < 0.25
  np.testing.assert_array_equal(nearest.Projection()(a), one)
  assert not project(np.full(1000, np.nan, np.float32)).any()
