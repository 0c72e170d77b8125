"""Identifies the inputs of a training run by content."""

import json
import pathlib
from collections.abc import Mapping, Sequence

from milan_jax._src.probe.jax_model import named_arrays
from milan_jax._src.records import Unit
from milan_jax._src.runs.inputs import Identity, Tables, of_contents, of_files
from milan_jax._src.store.exemplar_sets import exemplar_files, set_name
from milan_jax._src.store.feature_records import FeatureRecords
from milan_jax._src.store.release import Params
from milan_jax._src.store.truths import MANIFEST, TRUTH


def of_training(
  folders: Sequence[pathlib.Path],
  annotations: Mapping[Unit, Sequence[str]],
  split: Mapping[Unit, str] | None,
  params: Params,
  *,
  encoder: str,
  tables: Tables,
  records: FeatureRecords | None = None,
) -> Identity:
  """Returns the inputs of a training run.

  Args:
    folders: the folders of exemplars, with the corpus builder's files, if any.
    annotations: descriptions of units.
    split: the split of each unit, if given.
    params: the encoder's parameters, from any source.
    encoder: the value of the option that names the encoder.
    tables: the tables of the run directory.
    records: computed features in place of exemplars.
  """
  files = []
  for folder in folders:
    inside = exemplar_files(folder)
    inside += [(name, folder / name) for name in (MANIFEST, TRUTH)]
    # A single folder may be moved; several name their layers.
    prefix = f"{set_name(folder)}/" if len(folders) > 1 else ""
    files += [(f"{prefix}{name}", path) for name, path in inside if path.is_file()]
  named = [
    (_spelled(unit), json.dumps(list(said)).encode())
    for unit, said in annotations.items()
  ]
  found = {
    "annotations": of_contents("--annotations", "annotated units", named),
    "exemplars": of_files(
      "--exemplars",
      "files",
      files,
      known=tables.known("exemplars"),
    )
    if records is None
    else of_contents(
      "--features", "data sets", [("data set", records.digest.encode())]
    ),
    "encoder": of_contents(f"--encoder={encoder}", "parameters", named_arrays(params)),
  }
  if split is not None:
    found["split"] = of_contents(
      "--split",
      "units of the split",
      [(_spelled(unit), part.encode()) for unit, part in split.items()],
    )
  return Identity(found)


def _spelled(unit: Unit) -> str:
  return f"{unit.layer} {unit.index}" + (" off" if unit.sign == "off" else "")
