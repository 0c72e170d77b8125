"""The content words of a captioner, and which of them it detects."""

from milan_jax._src.store.release import Release
from milan_jax._src.text.content_words import ContentWords, content_words
from milan_jax._src.text.vocabulary import Vocabulary


def release_words(release: Release, length: int) -> ContentWords:
  """Returns the content words of a captioner's vocabulary.

  Args:
    release: the captioner.
    length: maximum number of tokens of a description.
  """
  detectors = release.word_detectors
  return content_words(
    Vocabulary(release.vocabulary),
    nothing=release.decoding.nothing,
    length=length,
    detected=() if detectors is None else detectors.words,
  )
