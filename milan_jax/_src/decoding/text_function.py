"""The probabilities of given texts as a pure function, for programs of one's own."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from milan_jax._src.errors import UserError
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.encoder import Projection, project
from milan_jax._src.models.language_models import make_language_model
from milan_jax._src.runs.precision import full_float32
from milan_jax._src.store.release import Params, Release
from milan_jax._src.text.tokenizer import Tokenizer
from milan_jax._src.text.vocabulary import Vocabulary

_PARTS = ("captioner", "language_model", "projection")


class TokenLogProbs(NamedTuple):
  """Log-probabilities of the tokens of texts, in nats; 0 at padding.

  Attributes:
    log_probs: log p(token | regions, tokens before).
    lm_log_probs: log p(token | tokens before); None without a language model.

  Example:
    >>> tokens = captioner.tokens(["red dots"])
    >>> found = captioner.log_probs(captioner.params, features.read(0, 1), tokens)
    >>> found.log_probs.shape
    (1, 3)
  """

  log_probs: Float[Array, "units length"]
  lm_log_probs: Float[Array, "units length"] | None


class TextFunction:
  """Scores tokens; differentiable, and free of side effects."""

  def __init__(self, release: Release):
    """Takes the sizes and the vocabulary, not the parameters.

    Args:
      release: the captioner.
    """
    self._vocabulary = Vocabulary(release.vocabulary)
    self._feature_size = release.feature_size
    self._captioner = Captioner(**dataclasses.asdict(release.captioner))
    self._language_model = (
      None
      if release.language_model is None
      else make_language_model(**dataclasses.asdict(release.language_model))
    )
    self._log_probs = full_float32(self._of_tokens)

  def tokens(self, texts: Sequence[str]) -> Int[np.ndarray, "texts length"]:
    """The ids of texts, each with its stop, padded to the longest.

    Raises:
      UserError: there is no text, or one is empty or no text.
    """
    given = [] if isinstance(texts, str) else list(texts)
    tokenize = Tokenizer()
    words = [tokenize(str(text)) for text in given if isinstance(text, str)]
    if not words or len(words) < len(given) or not all(words):
      raise UserError(f"texts: expected a list of descriptions; found {texts!r}.")
    length = max(map(len, words))
    return np.array(
      [self._vocabulary.encode(each, start=False, length=length) for each in words],
      np.int32,
    )

  def __call__(
    self,
    params: Mapping[str, Any],
    features: Float[Array | np.ndarray, "units k features"],
    tokens: Int[Array | np.ndarray, "units length"],
  ) -> TokenLogProbs:
    """Scores one text of each unit.

    Raises:
      UserError: the arrays are of other shapes, or a token is not in the vocabulary.
    """
    shape, ids = np.shape(features), np.shape(tokens)
    if len(shape) != 3 or shape[2] != self._feature_size:
      raise UserError(
        f"features: expected shape (units, k, {self._feature_size}); found {shape}."
      )
    if len(ids) != 2 or ids[0] != shape[0]:
      raise UserError(
        f"tokens: expected shape ({shape[0]}, length), a text of each unit; found "
        f"{ids}."
      )
    if not isinstance(tokens, jax.core.Tracer):  # JAX would read another token
      numbers, known = np.asarray(tokens), self._vocabulary.vocab_size
      if not np.all((numbers >= 0) & (numbers < known)):
        raise UserError(
          f"tokens: expected ids from 0 to {known - 1}, as captioner.tokens returns "
          f"them; found {numbers.min()} to {numbers.max()}."
        )
    arrays = jnp.asarray(features, jnp.float32), jnp.asarray(tokens)
    return self._log_probs(params, *arrays)

  def _of_tokens(
    self,
    params: Mapping[str, Any],
    features: Float[Array, "units k features"],
    tokens: Int[Array, "units length"],
  ) -> TokenLogProbs:
    start = self._vocabulary.start_id
    inputs = jnp.pad(tokens, ((0, 0), (1, 0)), constant_values=start)[:, :-1]
    if "projection" in params:
      features = project(features, Projection(**params["projection"]))
    scores, _ = cast(
      tuple[Array, Array],
      self._captioner.apply({"params": params["captioner"]}, features, inputs),
    )
    prior: Array | None = None
    if self._language_model is not None:
      found = self._language_model.apply({"params": params["language_model"]}, inputs)
      prior = self._of_targets(cast(Array, found), tokens)
    return TokenLogProbs(self._of_targets(scores, tokens), prior)

  def _of_targets(
    self, scores: Float[Array, "units length vocab"], tokens: Int[Array, "units length"]
  ) -> Float[Array, "units length"]:
    found = jnp.take_along_axis(scores, tokens[..., None], axis=-1)[..., 0]
    return jnp.where(tokens == self._vocabulary.pad_id, 0, found)


def text_params(release: Release) -> Params:
  """The parameters that `TextFunction` takes, as JAX arrays."""
  return {
    name: jax.tree.map(jnp.asarray, tree)
    for name, tree in release.params.items()
    if name in _PARTS
  }
