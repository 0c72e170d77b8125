"""`milan-score`: scores files of descriptions against annotations."""

import pathlib
from collections.abc import Mapping, Sequence

from milan_jax._src.errors import UserError
from milan_jax._src.experiments.metrics import check_metrics, make_metrics
from milan_jax._src.files.atomic import write_json
from milan_jax._src.files.tables import UnitsOnce, read_rows
from milan_jax._src.options.experiments import ScoredOptions, ScoreOptions
from milan_jax._src.records import Unit
from milan_jax._src.scores.score_table import SHOWN, ScoreTable, markdown, score_table
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.store.splits import FILE, read_split

_COLUMNS, _SIGN = ("layer", "unit", "description"), "sign"
TEST = "test"


def score_files(options: ScoreOptions) -> ScoreTable:
  """Scores files of descriptions, and prints the table.

  Args:
    options: all options of the command.

  Raises:
    UserError: if a file is missing or damaged, no unit has both a description and an
      annotation, or a metric's library is not installed.
  """
  check_metrics(options.metrics)
  said, known = _read(options.data)
  split = _split(options.data)
  training = None
  if split is not None:
    training = [texts for unit, texts in known.items() if split.get(unit) != TEST]
    known = {unit: texts for unit, texts in known.items() if split.get(unit) == TEST}
  units = [
    unit for unit in known if all(unit in described for described in said.values())
  ]
  if not units:
    raise UserError(
      f"No unit{' of the test part' * (split is not None)} has both an annotation and "
      "a description in every file: give files of the same units."
    )
  metrics = make_metrics(options.metrics)
  table = score_table(
    {name: [[texts[unit] for unit in units]] for name, texts in said.items()},
    [known[unit] for unit in units],
    metrics,
    training=training or None,
    draws=options.metrics.draws,
    seed=options.seed,
  )
  print(markdown(table), end="")
  for name, text in table.constant.items():
    print(f"constant caption, {SHOWN[name][0]}: {text!r}")
  if len(units) < len(known):
    print(f"{len(known) - len(units)} annotated units have no description")
  if options.json:
    write_json(options.json, table.as_json())
  return table


def _read(
  data: ScoredOptions,
) -> tuple[dict[str, dict[Unit, str]], Mapping[Unit, Sequence[str]]]:
  if not data.descriptions or not data.annotations:
    missing = "descriptions" if not data.descriptions else "annotations"
    raise UserError(f"--{missing}: give a file; --help lists the flags.")
  names = [name.strip() for name in data.descriptions.split(",")]
  said = {name: read_described(name) for name in names}
  return said, read_annotations(data.annotations)


def read_described(path: str) -> dict[Unit, str]:
  """Reads the description of each unit from a CSV.

  Raises:
    UserError: if the file is missing or damaged, or has a unit twice.
  """
  if not pathlib.Path(path).is_file():
    raise UserError(
      f"--descriptions={path}: expected a CSV with the columns {','.join(_COLUMNS)}; "
      "found no file."
    )
  once, found = UnitsOnce(), {}
  for row in read_rows(path, _COLUMNS, optional=(_SIGN,)):
    found[once.check(row)] = row.values["description"]
  return found


def _split(data: ScoredOptions) -> Mapping[Unit, str] | None:
  if data.split:
    return read_split(data.split)
  path = pathlib.Path(data.annotations or "") / FILE
  return read_split(path) if path.is_file() else None
