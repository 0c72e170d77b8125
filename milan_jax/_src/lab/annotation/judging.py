"""Blind judgments of real units, and the confidence that is fitted on them.

`python -m milan_jax._src.lab.annotation.judging STEP ...`, with these steps:

  draw    contact sheets of units that were not annotated
  texts   what a captioner gives for them: a table for the judges, and one to keep
  report  the figures of the judges' verdicts
  fit     the confidence of a release, on judged units

docs/evaluation.md describes them; STEP --help lists the flags.
"""

import argparse
import dataclasses
import pathlib
from collections.abc import Sequence

from milan_jax._src.annotation.sheet_key import csv_text
from milan_jax._src.errors import UserError
from milan_jax._src.files import atomic
from milan_jax._src.files.tables import read_rows
from milan_jax._src.lab.annotation import judged_units, real_confidence
from milan_jax._src.lab.annotation.judged_figures import figures, markdown
from milan_jax._src.lab.annotation.judged_texts import read_results, write_texts
from milan_jax._src.lab.annotation.scripts import exit_code
from milan_jax._src.lab.annotation.verdicts import JudgedUnit, read_verdicts
from milan_jax._src.lab.evaluation import calibration_plot

FIGURES, TABLE, JUDGED = "figures.json", "figures.md", "judged.csv"


def report(
  workdir: pathlib.Path, verdicts: str, *, plot: pathlib.Path | None, seed: int
) -> None:
  """Writes the figures and the judged descriptions into the workdir, and prints them.

  Args:
    workdir: the folder of the sheets and their texts.
    verdicts: the judges' files, comma-separated.
    plot: where to draw the reliability diagram; None draws none.
    seed: of the bootstrap.

  Raises:
    UserError: if a table is missing or malformed, or a plot is asked for without
      confidences.
  """
  results = read_results(workdir)
  paths = [pathlib.Path(each.strip()) for each in verdicts.split(",")]
  units = read_verdicts(paths, results)
  layers = read_rows(workdir / judged_units.LAYERS, ("run", "layer"))
  last = {row.values["run"]: row.values["layer"] for row in layers}
  found = figures(units, last, seed=seed)
  found["without_verdict"] = len(results) - len(units)
  text = markdown(found)
  if found["without_verdict"]:
    text = (
      f"{found['without_verdict']} of {len(results)} units have no verdict.\n\n{text}"
    )
  atomic.write_json(workdir / FIGURES, found)
  atomic.write_text(workdir / TABLE, text)
  atomic.write_text(workdir / JUDGED, _judged_text(units))
  if plot is not None:
    if found["calibration"] is None:
      raise UserError("--plot: expected descriptions with a confidence; found none.")
    calibration_plot.draw(
      found["calibration"], plot, label="share right (partly as half)"
    )
  print(text, end="")


def _judged_text(units: Sequence[JudgedUnit]) -> str:
  """The descriptions that were judged, for `fit`; a row per verdict."""
  rows = []
  for one in units:
    where, text = one.result.unit, one.result.candidate
    rows += [
      (where.layer, where.unit, where.sign, where.run, text, verdict)
      for verdict in one.of_candidate
    ]
  return csv_text(("layer", "unit", "sign", "run", "description", "verdict"), rows)


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs a step.

  Args:
    arguments: of the command line; None takes the program's own.

  Returns:
    The exit code: 0, or 2 after one message.
  """
  given = vars(_parser().parse_args(arguments))
  step = given.pop("step")

  def work() -> None:
    if step == "draw":
      judged_units.draw(judged_units.DrawOptions(**given))
    elif step == "texts":
      write_texts(**given)
    elif step == "report":
      report(**given)
    else:
      options = real_confidence.FitOptions(**given)
      print(real_confidence.report(real_confidence.fit(options), options.milan))

  return exit_code(f"judging {step}", work)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  steps = parser.add_subparsers(dest="step", required=True)
  path = pathlib.Path
  draw = steps.add_parser("draw")
  draw.add_argument("--exemplars", required=True)
  draw.add_argument("--workdir", type=path, required=True)
  draw.add_argument("--annotated", type=path)
  draw.add_argument("--held_out")
  for field in dataclasses.fields(judged_units.DrawOptions):
    if field.type is int:
      draw.add_argument(f"--{field.name}", type=int, default=field.default)
  texts = steps.add_parser("texts")
  texts.add_argument("--workdir", type=path, required=True)
  texts.add_argument("--descriptions", required=True)
  said = steps.add_parser("report")
  said.add_argument("--workdir", type=path, required=True)
  said.add_argument("--verdicts", required=True)
  said.add_argument("--plot", type=path)
  said.add_argument("--seed", type=int, default=0)
  fit = steps.add_parser("fit")
  fit.add_argument("--milan", type=path, required=True)
  fit.add_argument("--features", required=True)
  fit.add_argument("--judged", type=path, required=True)
  fit.add_argument("--threshold_rule", default=real_confidence.BALANCE)
  fit.add_argument("--seed", type=int, default=0)
  return parser


if __name__ == "__main__":
  raise SystemExit(main())
