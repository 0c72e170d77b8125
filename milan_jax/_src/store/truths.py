"""Reads `truth.json`, the truths of a corpus's units.

The file holds `{"units": [{"unit": 0, "concept": "dog heads", "lenient": ["dog"],
"strict": [["dog", "puppy"], ["head"]], "references": ["dog heads"]}, ...]}`; units of
nothing have `"negative": true`.
"""

import json
import pathlib

from milan_jax._src.errors import UserError
from milan_jax._src.records import Unit
from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.text.judge import Truth, read_truth

MANIFEST = "manifest.json"
TRUTH = "truth.json"


def read_truths(corpus: pathlib.Path) -> dict[Unit, Truth]:
  """Reads the truths of a corpus's units; the layer's name is that of the store.

  Raises:
    UserError: if the file is damaged.
  """
  path = corpus / TRUTH
  layer = open_exemplars(corpus).layers[0]
  try:
    entries = json.loads(path.read_text(encoding="utf-8"))["units"]
    return {
      Unit(layer, int(entry["unit"])): read_truth(
        entry, f"{path}, unit {entry['unit']}"
      )
      for entry in entries
    }
  except UserError:
    raise
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise UserError(
      f'{path}: expected {{"units": [{{"unit": 0, ...}}, ...]}} ({error}): build the '
      "corpus again."
    ) from error
