"""Splits captions into tokens by spaCy's English rules, without its models."""

from typing import Any

from milan_jax._src.errors import UserError


class Tokenizer:
  """Splits captions into lower-case English tokens.

  Uses the rules of `spacy.blank("en")`, which loads no model and downloads nothing.
  Words are not lemmatized. White space is not a token.

  Raises:
    UserError: if spaCy is not installed. Only tokenizing needs it; turning ids or
      tokens into sentences does not.

  Source: Hernandez et al. 2022, appendix, and the tokens of the published captions.
  """

  def __init__(self) -> None:
    self._split = _pipeline().tokenizer

  def __call__(self, text: str) -> list[str]:
    """Returns the lower-case tokens of `text`."""
    return [token.lower_ for token in self._split(text) if not token.is_space]


def serialized_tokenizer() -> tuple[dict[str, Any], bytes]:
  """Returns the rules of the tokenizer, as spaCy's pipelines store themselves.

  Returns:
    A configuration for `from_config` of spaCy's English class, which completes it by
    the defaults of its version, and the state for `from_bytes` of the result.

  Raises:
    UserError: if spaCy is not installed.
  """
  config = {
    "nlp": {
      "lang": "en",
      "pipeline": [],
      "tokenizer": {"@tokenizers": "spacy.Tokenizer.v1"},
    }
  }
  rules: bytes = _pipeline().to_bytes(exclude=["vocab", "meta.json", "config.cfg"])
  return config, rules


def _pipeline() -> Any:
  try:
    import spacy
  except ImportError as error:
    raise UserError(
      "captions must be tokenized but spaCy is not installed: "
      "run pip install 'milan-jax[text]'"
    ) from error
  return spacy.blank("en")
