"""Sentences of one meaning are nearer than others, where the model is installed."""

import pytest

from milan_jax._src.lab.evaluation import sentence_similarity


@pytest.fixture(scope="module")
def model():
  folder = sentence_similarity.packaged_model()
  if folder is None:
    pytest.skip(f"no sentence model: {sentence_similarity.HINT}")
  return sentence_similarity.SentenceSimilarity(folder)


def test_the_nearest_reference_counts(model):
  near, far, own = model.nearest(
    [
      ("dog faces", ("horizontal lines", "faces of animals")),
      ("dog faces", ("horizontal lines",)),
      ("dog faces", ("dog faces",)),
    ]
  )
  # Measured with the model's own library.
  assert near == pytest.approx(0.79, abs=0.01)
  assert far == pytest.approx(0.17, abs=0.01)
  assert own == pytest.approx(1.0, abs=1e-5)
