"""What a captioner attends to at each word of a given description."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from milan_jax._src.decoding.scoring import check_texts, rows_in, tokenized
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.encoder import Projection, project
from milan_jax._src.models.language_models import (
  AnyLanguageModel,
  make_language_model,
)
from milan_jax._src.notebook import Shown
from milan_jax._src.records import Unit
from milan_jax._src.runs.precision import full_float32
from milan_jax._src.store.feature_store import FeatureStore
from milan_jax._src.store.release import Release
from milan_jax._src.text.vocabulary import Vocabulary

# Texts are padded to multiples of this many tokens, so that few shapes are compiled.
_STEP = 8
# Stands for the end of a description among its words.
END = "(end)"


@dataclasses.dataclass(frozen=True, slots=True)
class TextAttention(Shown):
  """What the captioner attends to, word by word, when it reads a description.

  Attributes:
    text: the description.
    words: its words as the captioner reads them, then the end.
    weights: the share of each region in what the captioner attends to before it
      predicts a word; each row sums to 1.
    log_probs: log p(word | regions, words before), in nats.
    lm_log_probs: log p(word | words before), in nats; None without a language model.

  Example:
    >>> unit = milan_jax.Unit("conv2", 0)
    >>> (read,) = captioner.attend(exemplars, {unit: ["red dots"]})[unit]
    >>> read.words
    ('red', 'dots', '(end)')
  """

  text: str
  words: tuple[str, ...]
  weights: Float[np.ndarray, "words k"]
  log_probs: Float[np.ndarray, "words"]
  lm_log_probs: Float[np.ndarray, "words"] | None = None


class TextReader:
  """Reads descriptions word by word; compiles once per shape."""

  def __init__(self, release: Release):
    """Takes the parameters.

    Args:
      release: the captioner.
    """
    self._vocabulary = Vocabulary(release.vocabulary)
    self._params = {
      name: jax.tree.map(jnp.asarray, tree)
      for name, tree in release.params.items()
      if name in ("captioner", "language_model")
    }
    self._projection: Projection | None = release.projection
    captioner = Captioner(**dataclasses.asdict(release.captioner))
    language_model: AnyLanguageModel | None = None
    if release.language_model is not None:
      language_model = make_language_model(**dataclasses.asdict(release.language_model))

    def read(
      params: dict[str, Any],
      features: Float[Array, "1 k features"],
      inputs: Int[Array, "texts length"],
      targets: Int[Array, "texts length"],
    ) -> tuple[Array, Array, Array | None]:
      texts = len(inputs)
      regions = jnp.repeat(features, texts, axis=0)
      scores, weights = cast(
        tuple[Array, Array],
        captioner.apply({"params": params["captioner"]}, regions, inputs),
      )
      prior: Array | None = None
      if language_model is not None:
        found = language_model.apply({"params": params["language_model"]}, inputs)
        prior = _of_targets(cast(Array, found), targets)
      return weights, _of_targets(scores, targets), prior

    self._read = jax.jit(full_float32(read))

  def __call__(
    self, store: FeatureStore, texts: Mapping[Unit, Sequence[str]]
  ) -> dict[Unit, list[TextAttention]]:
    """Reads descriptions of units.

    Args:
      store: features of the units.
      texts: descriptions of some of them.

    Raises:
      UserError: a unit is not in the store, a text is empty or none, or spaCy is not
        installed.
    """
    check_texts(texts)
    if not texts:
      return {}
    rows, tokens = rows_in(store, texts), tokenized(texts)
    features = store.read_rows(np.array(list(rows.values())))
    counts = store.num_regions(0, len(store))[list(rows.values())]
    found: dict[Unit, list[TextAttention]] = {}
    for place, (unit, each) in enumerate(texts.items()):
      regions = features[place, : counts[place]]
      found[unit] = list(self._of_unit(regions, each, tokens[unit]))
    return found

  def _of_unit(
    self,
    regions: Float[np.ndarray, "k features"],
    texts: Sequence[str],
    tokens: Sequence[Sequence[str]],
  ) -> Iterator[TextAttention]:
    vocabulary = self._vocabulary
    longest = max(map(len, tokens)) + 1
    length = -(-longest // _STEP) * _STEP
    targets = np.full((len(texts), length), vocabulary.stop_id, np.int32)
    for row, words in enumerate(tokens):
      ids = vocabulary.encode(words, start=False, stop=False, pad=False)
      targets[row, : len(ids)] = ids
    inputs = np.pad(targets, ((0, 0), (1, 0)), constant_values=vocabulary.start_id)
    projected = regions
    if self._projection is not None:
      projected = project(regions, self._projection)
    weights, log_probs, prior = jax.tree.map(
      np.asarray, self._read(self._params, projected[None], inputs[:, :-1], targets)
    )
    for row, (text, words) in enumerate(zip(texts, tokens, strict=True)):
      end = len(words) + 1
      yield TextAttention(
        text=text,
        words=(*words, END),
        weights=weights[row, :end],
        log_probs=log_probs[row, :end],
        lm_log_probs=None if prior is None else prior[row, :end],
      )


def _of_targets(
  scores: Float[Array, "texts length vocab"], targets: Int[Array, "texts length"]
) -> Float[Array, "texts length"]:
  return jnp.take_along_axis(scores, targets[..., None], axis=-1)[..., 0]
