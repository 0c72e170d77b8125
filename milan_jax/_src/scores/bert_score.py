"""BERTScore: similarity of tokens' embeddings in a pretrained transformer.

The weights are the user's: a folder with a model and its tokenizer, or the name of a
model in the local cache of Hugging Face. Nothing is downloaded.
"""

import csv
import functools
import importlib.util
import io
import json
import math
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from milan_jax._src.errors import UserError
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.scores.text_metric import References
from milan_jax._src.text.sentence_vectors import no_progress_bars

# The layer of RoBERTa-large that agrees best with human judgments, and what P, R and F
# are there for unrelated English sentences. Source: bert-score 0.3.13 (MIT license).
_LARGE_LAYER = 17
_LARGE_BASELINE = (0.83150584, 0.8314941, 0.83122575)
_BATCH = 64
# Texts whose embeddings are kept. One of RoBERTa-large takes about 50 kB.
_KEPT = 20_000


class BertScore:
  """F1, precision and recall of BERTScore, rescaled: 0 for unrelated sentences.

  As in the original: tokens are weighted by their inverse document frequency over all
  references that are scored, and each of the three is the maximum over a unit's
  references.

  Args:
    model: the model's folder, or its name in the local cache.
    layer: the layer of the embeddings; None for that of RoBERTa-large, 17.
    baseline: file with columns `LAYER,P,R,F`, as bert-score ships them, to rescale by;
      None for RoBERTa-large's. Other models without it are not rescaled.

  Raises:
    UserError: if torch or transformers is not installed, or there is no such model,
      layer or row of the file.

  Source: Zhang et al. 2020; checked against bert-score 0.3.13.
  """

  names = ("bertscore", "bertscore_precision", "bertscore_recall")

  def __init__(
    self, model: str, *, layer: int | None = None, baseline: str | None = None
  ):
    # Before the libraries that it needs: what can be checked without them.
    rescaling = None if baseline is None else read_baselines(baseline)
    missing = [
      name for name in ("torch", "transformers") if not importlib.util.find_spec(name)
    ]
    if missing:
      raise UserError(
        f"--bert_score needs {' and '.join(missing)}: "
        "pip install 'milan-jax[torch,transformers]'."
      )
    try:
      self._tokenizer, self._model = _read_model(model)
    except (OSError, ValueError, KeyError) as error:
      raise UserError(
        f"--bert_score={model}: expected a folder with a model and its tokenizer, or "
        f"a model in Hugging Face's local cache ({_first_line(error)}): fetch "
        "roberta-large, the paper's, and give its folder."
      ) from error
    config = self._model.config
    is_large = config.model_type == "roberta" and config.num_hidden_layers == 24
    if layer is None and not is_large:
      raise UserError(
        f"--bert_layer: give the layer of {model} whose embeddings are compared, 1 to "
        f"{config.num_hidden_layers}; only that of roberta-large is known."
      )
    self._layer = _LARGE_LAYER if layer is None else layer
    if not 1 <= self._layer <= config.num_hidden_layers:
      raise UserError(
        f"--bert_layer: expected 1 to {config.num_hidden_layers}; found {layer}."
      )
    self._baseline = np.zeros(3)
    if rescaling is not None:
      if self._layer not in rescaling:
        raise UserError(
          f"--bert_baseline={baseline}: expected a row for layer {self._layer}; found "
          f"layers {', '.join(map(str, sorted(rescaling))) or 'none'}: take the "
          "model's file of the package bert-score."
        )
      self._baseline = np.array(rescaling[self._layer])
    elif is_large and self._layer == _LARGE_LAYER:
      self._baseline = np.array(_LARGE_BASELINE)
    self._known: dict[str, _Embedded] = {}

  @functools.cached_property
  def identity(self) -> str:
    """A digest of the parameters, the tokenizer, the layer and the baseline."""
    backend = getattr(self._tokenizer, "backend_tokenizer", None)
    # Its serialization has the padding of the last call, which changes no score.
    tokenizer = {} if backend is None else json.loads(backend.to_str())
    about = {
      "tokenizer": tokenizer | {"padding": None, "truncation": None},
      "words": self._tokenizer.get_vocab(),
      "longest": self._tokenizer.model_max_length,
      "config": self._model.config.to_diff_dict() | {"_name_or_path": ""},
      "layer": self._layer,
      "baseline": self._baseline.tolist(),
    }
    parameters = sorted(self._model.state_dict().items())
    return sha256_of(
      [
        json.dumps(about, sort_keys=True, default=str),
        *(
          part
          for name, values in parameters
          for part in (name, str(values.dtype), values.float().numpy())
        ),
      ]
    )

  @property
  def is_rescaled(self) -> bool:
    """Whether scores are relative to those of unrelated sentences."""
    return bool(self._baseline.any())

  def statistics(
    self, said: Sequence[str], known: References
  ) -> Float[np.ndarray, "units statistics"]:
    """Computes F1, precision and recall of each unit, and counts it."""
    weights = self._inverse_frequencies(known)
    rows = []
    for text, references in zip(said, known, strict=True):
      self._embed([text, *references])
      pairs = [_matched(self._known[text], self._known[r], weights) for r in references]
      precision, recall, f1 = self._rescaled(np.max(pairs, axis=0)).tolist()
      rows.append([f1, precision, recall, 1.0])
    return np.array(rows, float).reshape(len(rows), len(self.names) + 1)

  def scores(
    self, totals: Float[np.ndarray, "sums statistics"]
  ) -> Float[np.ndarray, "sums names"]:
    """Computes means over units."""
    means: np.ndarray = totals[:, :-1] / np.maximum(totals[:, -1:], 1e-9)
    return means

  def _rescaled(self, values: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    rescaled: np.ndarray = (values - self._baseline) / (1 - self._baseline)
    return rescaled

  def _ids(self, text: str) -> list[int]:
    ids: list[int] = self._tokenizer(text, truncation=True)["input_ids"]
    return ids

  def _inverse_frequencies(self, known: References) -> Mapping[int, float]:
    """Returns the weight of each token; -1 is the key of tokens that never occur."""
    texts = [text for references in known for text in references]
    counts = Counter(token for text in texts for token in set(self._ids(text)))
    number = len(texts) + 1
    weights = {token: math.log(number / (n + 1)) for token, n in counts.items()}
    return weights | {-1: math.log(number)}

  def _embed(self, texts: Sequence[str]) -> None:
    import torch

    new = sorted({text for text in texts if text not in self._known})
    if len(self._known) + len(new) > _KEPT:
      self._known.clear()
      new = sorted(set(texts))
    for start in range(0, len(new), _BATCH):
      batch = new[start : start + _BATCH]
      tokens = self._tokenizer(
        batch, padding=True, truncation=True, return_tensors="pt"
      )
      with torch.no_grad():
        states = self._model(**tokens, output_hidden_states=True).hidden_states
      found = torch.nn.functional.normalize(states[self._layer], dim=-1).numpy()
      lengths = tokens["attention_mask"].sum(1).tolist()
      for text, row, vectors, length in zip(
        batch, tokens["input_ids"].tolist(), found, lengths, strict=True
      ):
        self._known[text] = _Embedded(row[:length], vectors[:length])


class _Embedded:
  """A text's tokens, special ones included, and their embeddings of unit length."""

  def __init__(self, ids: Sequence[int], vectors: Float[np.ndarray, "tokens width"]):
    self.ids, self.vectors = tuple(ids), vectors.copy()

  def weights(self, known: Mapping[int, float]) -> Float[np.ndarray, "tokens"]:
    """Returns the tokens' weights, which add up to 1, or are 0 without any word."""
    found = np.array([known.get(token, known[-1]) for token in self.ids])
    total = found.sum()
    shares: np.ndarray = found / total if total > 0 else found
    return shares


def _matched(
  said: _Embedded, known: _Embedded, weights: Mapping[int, float]
) -> tuple[float, float, float]:
  """Returns precision, recall and F1 of a description against one reference."""
  similarity = said.vectors @ known.vectors.T
  # Without any word between the special tokens nothing matches.
  if min(len(said.ids), len(known.ids)) <= 2:
    return 0.0, 0.0, 0.0
  precision = float(similarity.max(1) @ said.weights(weights))
  recall = float(similarity.max(0) @ known.weights(weights))
  total = precision + recall
  return precision, recall, 2 * precision * recall / total if total else 0.0


def _read_model(model: str) -> tuple[Any, Any]:
  """Returns a tokenizer and its model, read without progress bars."""
  import transformers

  with no_progress_bars():
    tokenizer = transformers.AutoTokenizer.from_pretrained(
      model, local_files_only=True, add_prefix_space=True
    )
    found = transformers.AutoModel.from_pretrained(model, local_files_only=True)
  return tokenizer, found.eval()


def read_baselines(path: str) -> dict[int, list[float]]:
  """Reads precision, recall and F1 of unrelated sentences, by layer.

  Raises:
    UserError: if the file is missing, has other columns, or a value is not a number.
  """
  try:
    text = pathlib.Path(path).read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text))
    found = {int(row["LAYER"]): [float(row[name]) for name in "PRF"] for row in rows}
    if not all(math.isfinite(value) for row in found.values() for value in row):
      raise ValueError("a value is not finite")
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise UserError(
      f"--bert_baseline={path}: expected columns LAYER,P,R,F with numbers "
      f"({_first_line(error)}): take the model's file of the package bert-score."
    ) from error
  return found


def _first_line(error: BaseException) -> str:
  return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
