"""Reads `truth.json`, the truths of a corpus's units.

The file holds `{"units": [{"unit": 0, "concept": "dog heads", "lenient": ["dog"],
"strict": [["dog", "puppy"], ["head"]], "references": ["dog heads"]}, ...]}`; units of
nothing have `"negative": true`.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, get_args

from milan_jax._src.errors import UserError
from milan_jax._src.records import Sign, Unit
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


def truths_as_json(truths: Mapping[Unit, Truth]) -> list[dict[str, Any]]:
  """Returns truths of units of any layers as JSON, in their order."""
  return [
    {
      "layer": unit.layer,
      "unit": unit.index,
      "sign": unit.sign,
      "concept": truth.name,
      "lenient": sorted(truth.lenient),
      "strict": [sorted(group) for group in truth.strict],
      "references": list(truth.references),
      "negative": truth.negative,
    }
    for unit, truth in truths.items()
  ]


def truths_from_json(entries: Any, where: str) -> dict[Unit, Truth]:
  """Reads what `truths_as_json` returned.

  Args:
    entries: the entries.
    where: the file's name, for messages.

  Raises:
    UserError: if an entry lacks something.
  """
  try:
    found = {}
    for entry in entries:
      sign = entry["sign"]
      if sign not in get_args(Sign):
        raise ValueError(f"sign {sign!r}")
      unit = Unit(str(entry["layer"]), int(entry["unit"]), sign)
      found[unit] = read_truth(entry, f"{where}, unit {unit.layer} {unit.index}")
    return found
  except (ValueError, KeyError, TypeError) as error:
    raise UserError(
      f"{where}: expected a list of truths with layer, unit and sign ({error}): run "
      "milan-features again."
    ) from error
