"""Puts the shipped annotations beside exemplars of their networks, to train on.

`python -m milan_jax._src.lab.annotation.training_sets RUN/lite0/exemplars ...` writes
`annotations.csv` and `split.csv` into each folder of exemplars, whose run has the name
of a network. Units of a held-out network are all in the test part; of the others every
seventh, by the digest of its name, is in the validation part.
"""

import argparse
import pathlib
import shutil
import zlib
from collections.abc import Sequence

from milan_jax._src.annotation.sheet_key import csv_text
from milan_jax._src.api.stores import set_name
from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_text
from milan_jax._src.lab.annotation.scripts import exit_code
from milan_jax._src.records import Unit
from milan_jax._src.store.annotations import FILE, read_annotations
from milan_jax._src.store.splits import COLUMNS, SIGN
from milan_jax._src.store.splits import FILE as SPLIT

ANNOTATIONS = pathlib.Path(__file__).resolve().parents[3] / "annotations"
HELD_OUT = ("vgg16",)
# One of so many units stops the training.
VALIDATION = 7


def part_of(network: str, unit: Unit, held_out: Sequence[str] = HELD_OUT) -> str:
  """The part of an annotated unit: train, validation or test."""
  if network in held_out:
    return "test"
  name = f"{network}:{unit.layer}:{unit.index}:{unit.sign}"
  return "train" if zlib.crc32(name.encode()) % VALIDATION else "validation"


def write_training_sets(
  folders: Sequence[str], *, held_out: Sequence[str] = HELD_OUT
) -> None:
  """Writes the annotations and the split of each network beside its exemplars.

  Args:
    folders: exemplars of annotated networks.
    held_out: networks that are only tested on.

  Raises:
    UserError: if a folder's run has no network's name.
  """
  known = sorted(path.stem for path in ANNOTATIONS.glob("*.csv"))
  for folder in folders:
    name = set_name(folder)
    if name not in known:
      raise UserError(
        f"{folder}: expected a run called {', '.join(known)}, whose units are "
        f"annotated; found {name}."
      )
    table = ANNOTATIONS / f"{name}.csv"
    shutil.copyfile(table, pathlib.Path(folder) / FILE)
    rows = (
      (unit.layer, unit.index, part_of(name, unit, held_out), unit.sign)
      for unit in read_annotations(table)
    )
    write_text(pathlib.Path(folder) / SPLIT, csv_text((*COLUMNS, SIGN), rows))


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("folders", nargs="+")
  parser.add_argument("--held_out", default=",".join(HELD_OUT))
  given = parser.parse_args()
  held_out = given.held_out.split(",")
  raise SystemExit(
    exit_code(
      "training_sets", lambda: write_training_sets(given.folders, held_out=held_out)
    )
  )
