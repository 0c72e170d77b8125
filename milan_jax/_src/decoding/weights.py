"""The parameters of a search, fused once for its products."""

from typing import Any, NamedTuple

from jax.typing import DTypeLike

from milan_jax._src.models.captioner_rows import (
  CaptionerWeights,
  fuse_captioner_weights,
)
from milan_jax._src.models.encoder import Projection
from milan_jax._src.models.language_model_rows import (
  LanguageModelRows,
  LanguageModelWeights,
  fuse_language_model_weights,
)
from milan_jax._src.models.transformer import (
  TransformerRows,
  TransformerWeights,
  fuse_transformer_weights,
  is_transformer,
)


class Weights(NamedTuple):
  """All parameters of a search: both models', fused, and the others as released."""

  captioner: CaptionerWeights
  language_model: LanguageModelWeights | TransformerWeights | None
  projection: Projection | None = None
  word_detectors: Any = None


def fuse_weights(params: Any, *, dtype: DTypeLike, by_outputs: bool = False) -> Weights:
  """Fuses both models' parameters, given under their names, with the others'.

  Args:
    params: all parameters.
    dtype: of the fused kernels.
    by_outputs: store kernels for few rows on a CPU; see `stores_by_outputs`.
  """
  language_model = params.get("language_model")
  projection = params.get("projection")
  lm_weights: LanguageModelWeights | TransformerWeights | None = None
  if language_model is not None:
    if is_transformer(language_model):
      lm_weights = fuse_transformer_weights(language_model, dtype)
    else:
      lm_weights = fuse_language_model_weights(
        language_model, dtype, by_outputs=by_outputs
      )
  return Weights(
    fuse_captioner_weights(params["captioner"], dtype, by_outputs=by_outputs),
    lm_weights,
    None if projection is None else Projection(**projection),
    params.get("word_detectors"),
  )


def language_model_rows(
  weights: LanguageModelWeights | TransformerWeights, length: int
) -> LanguageModelRows | TransformerRows:
  """Returns the language model over packed rows, for `length` tokens at most."""
  if isinstance(weights, TransformerWeights):
    return TransformerRows(weights, length)
  return LanguageModelRows(weights)
