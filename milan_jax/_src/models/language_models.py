"""The language models by name."""

from typing import Any

from milan_jax._src.models.language_model import LanguageModel
from milan_jax._src.models.transformer import TransformerLanguageModel

LSTM, TRANSFORMER = "lstm", "transformer"
ARCHITECTURES = (LSTM, TRANSFORMER)
AnyLanguageModel = LanguageModel | TransformerLanguageModel


def make_language_model(architecture: str, **options: Any) -> AnyLanguageModel:
  """Returns the module.

  Args:
    architecture: one of `ARCHITECTURES`.
    **options: its sizes, and `pad_id`.
  """
  kinds: dict[str, Any] = {LSTM: LanguageModel, TRANSFORMER: TransformerLanguageModel}
  module: AnyLanguageModel = kinds[architecture](**options)
  return module


def architecture_of(module: AnyLanguageModel) -> str:
  """Returns the name of a module's architecture."""
  return LSTM if isinstance(module, LanguageModel) else TRANSFORMER
