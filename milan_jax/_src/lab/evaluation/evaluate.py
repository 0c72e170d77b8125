"""`milan-eval`: runs every test whose data is available."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from milan_jax._src.api.captioners import Captioner, load
from milan_jax._src.api.identity import of_captioner
from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_json
from milan_jax._src.images.folder import FolderImages
from milan_jax._src.lab.benchmark.plot import check_plot
from milan_jax._src.lab.corpus.corpus_job import GEOMETRY
from milan_jax._src.lab.evaluation import (
  baselines,
  class_units,
  diversity,
  hand_built,
  negatives,
  planted,
  second_network,
  sentence_similarity,
  stem,
)
from milan_jax._src.lab.evaluation import calibration_plot as calibration
from milan_jax._src.lab.evaluation import figures as report
from milan_jax._src.lab.evaluation.described import Judged, judged
from milan_jax._src.lab.evaluation.held_out import held_out_photographs
from milan_jax._src.lab.evaluation.job import Job, MissingSourceError, Outcome
from milan_jax._src.lab.evaluation.misses_page import write_misses
from milan_jax._src.options.lab import EvalOptions
from milan_jax._src.runs.inputs import Identity, Input, Tables, of_files
from milan_jax._src.runs.locks import hold
from milan_jax._src.runs.progress import say
from milan_jax._src.runs.workdir import open_workdir
from milan_jax._src.store.exemplar_sets import exemplar_files
from milan_jax._src.store.release import Release

# In order of execution: `negatives` reuses the regions of the other tests.
TESTS: Mapping[str, Callable[[Job], Outcome]] = {
  "planted": planted.run,
  "classes": class_units.run,
  "stem": stem.run,
  "hand_built": hand_built.run,
  "vgg16": second_network.run,
  "lite0": diversity.run,
  "negatives": negatives.run,
}
# Tests of real concepts: their refusal rate is reported with `negatives`.
_TRUE = ("planted", "classes", "stem", "hand_built")
_MISSES = "misses"


def evaluate(options: EvalOptions) -> dict[str, Any]:
  """Tests a captioner.

  A stopped evaluation resumes when called again with the same `workdir`.

  Args:
    options: all options of the command.

  Returns:
    The figures of each test, by its name, and `about`.

  Raises:
    UserError: if an option is wrong, or no test has the data that it needs.
  """
  with hold(options.workdir):
    return _evaluate(options)


def _evaluate(options: EvalOptions) -> dict[str, Any]:
  chosen = _chosen(options.tests or "")
  check_plot(options.plot or "")
  if not (options.images or options.corpus or "stem" in (options.tests or "")):
    raise UserError(
      f"There is nothing to test {options.milan} on: expected --images, a folder of "
      "photographs, or --corpus, a folder that milan-corpus built. Only --tests=stem "
      "needs neither."
    )
  captioner = load(options.milan)
  corpus = pathlib.Path(options.corpus) if options.corpus else None
  training = baselines.read_training(corpus, options.corpus_features or "")
  folder = open_workdir(
    options.workdir,
    {name: getattr(options, name) for name in ("milan", "images", "corpus", "seed")},
    identity=_identity(captioner.release, options),
    paths=("milan", "images", "corpus"),
  )
  photographs, notes = _photographs(options, captioner.release, folder)
  job = Job(captioner, folder, photographs, corpus, options.seed)
  outcomes = _outcomes(job, chosen)
  if not outcomes:
    raise UserError(
      f"None of the tests {', '.join(chosen)} could be run: the lines above name what "
      "each needs."
    )
  cases = {
    name: [case for run in outcome.runs for case in judged(run)]
    for name, outcome in outcomes.items()
  }
  found: dict[str, Any] = {
    name: _figures(name, outcome, cases[name], training, captioner)
    for name, outcome in outcomes.items()
  }
  counted = {name: _headline(outcomes[name], each) for name, each in cases.items()}
  if "negatives" in found:
    found["negatives"]["true_units"] = _true_units(counted)
  _add_similarity(found, counted, notes)
  confidence = calibration.calibration(
    [case for each in counted.values() for case in each]
  )
  print(report.table(found))
  about = {"milan": options.milan, "notes": notes, "calibration": confidence}
  result = found | {"about": {**report.about(), **about}}
  for name, outcome in outcomes.items():
    for note in outcome.notes:
      print(f"{name}: {note}")
  _finish(result, counted, folder, options)
  return result


def _photographs(
  options: EvalOptions, release: Release, folder: pathlib.Path
) -> tuple[pathlib.Path | None, list[str]]:
  """Returns the folder of photographs to use, and notes for the report."""
  if not options.images:
    return None, []
  held = held_out_photographs(options.images, release.card, folder)
  if held.listed:
    note = (
      f"{held.num_shown} photographs are used; {held.num_trained_on} that "
      f"{options.milan} was trained on are left out."
    )
  else:
    note = (
      f"{options.milan} does not list its training photographs: all {held.num_shown} "
      "photographs are used, and some of them may be training photographs."
    )
  say(note)
  return held.folder, [note]


def _true_units(counted: Mapping[str, Sequence[Judged]]) -> dict[str, Any]:
  """Returns the fraction of refusals for units with a known meaning."""
  true = [case for name in _TRUE for case in counted.get(name, ())]
  refused = sum(case.verdict.refused for case in true)
  return {"n": len(true), "refused": refused / len(true) if true else None}


def _identity(release: Release, options: EvalOptions) -> Identity:
  """Identifies the captioner and the test data by content."""
  tables = Tables(pathlib.Path(options.workdir))
  found: dict[str, Input] = {"captioner": of_captioner(release, None)}
  if options.images:
    files = FolderImages(options.images, GEOMETRY).files()
    known = tables.known("images")
    found["images"] = of_files("--images", "pictures", files, known=known)
  if options.corpus:
    files = exemplar_files(options.corpus)
    known = tables.known("corpus")
    found["corpus"] = of_files("--corpus", "files", files, known=known)
  return Identity(found)


def _chosen(tests: str) -> tuple[str, ...]:
  named = tuple(name.strip() for name in tests.split(",") if name.strip())
  unknown = sorted(set(named) - set(TESTS))
  if unknown:
    raise UserError(
      f"--tests: expected some of {', '.join(TESTS)}, comma-separated; found "
      f"{', '.join(unknown)}."
    )
  return tuple(name for name in TESTS if name in (named or TESTS))


def _outcomes(job: Job, chosen: Sequence[str]) -> dict[str, Outcome]:
  outcomes = {}
  for name in chosen:
    say(f"{name} ...")
    try:
      outcomes[name] = TESTS[name](job)
    except MissingSourceError as error:
      say(f"{name}: skipped: {error}")
  return outcomes


def _headline(outcome: Outcome, cases: Sequence[Judged]) -> list[Judged]:
  """Returns the units that the test's main figures are computed on."""
  if not outcome.headline:
    return list(cases)
  kept = outcome.subsets[outcome.headline]
  return [case for case in cases if case.unit in kept]


def _figures(
  name: str,
  outcome: Outcome,
  cases: Sequence[Judged],
  training: baselines.Training,
  captioner: Captioner,
) -> dict[str, Any]:
  own = {"notes": list(outcome.notes), **outcome.extra}
  if not outcome.runs:
    return own
  mine = _headline(outcome, cases)
  if name == "negatives":
    # A constant answer is always right for negatives, so there are no baselines.
    return own | report.figures(mine) | {"kinds": report.by_kind(mine)}
  captions = [each[0] for each in training.captions.values() if each]
  captions += [text for each in training.captions.values() for text in each[1:]]
  if not captions:
    captions = [each.text for run in outcome.runs for each in run.answers.values()]
  likely = baselines.likelihood(outcome.runs, captioner)
  near = baselines.nearest(outcome.runs, training) if training.features else None
  found = own | report.with_baselines(
    report.figures(mine), mine, captions=captions, likely=likely, near=near
  )
  if outcome.subsets:
    found["subsets"] = {
      subset: report.figures([case for case in cases if case.unit in units])
      for subset, units in outcome.subsets.items()
      if subset != outcome.headline
    }
  return found


def _add_similarity(
  found: dict[str, Any], cases: Mapping[str, Sequence[Judged]], notes: list[str]
) -> None:
  """Adds sentence similarity if its model is installed."""
  folder = sentence_similarity.packaged_model()
  if folder is None:
    notes.append(f"No sentence similarity: {sentence_similarity.HINT}")
    say(notes[-1])
    return
  model = sentence_similarity.SentenceSimilarity(folder)
  for name, each in cases.items():
    pairs = [
      (case.answer.text, case.truth.references or (case.truth.name,))
      for case in each
      if not case.truth.negative
    ]
    if pairs:
      found[name]["similarity"] = float(model.nearest(pairs).mean())


def _finish(
  result: dict[str, Any],
  counted: Mapping[str, Sequence[Judged]],
  folder: pathlib.Path,
  options: EvalOptions,
) -> None:
  """Writes the figures and the files that the options request."""
  write_json(folder / "figures.json", result)
  if options.json:
    write_json(options.json, result)
    say(f"Wrote the figures to {options.json}")
  confidence = result["about"]["calibration"]
  if options.plot and confidence:
    calibration.draw(confidence, pathlib.Path(options.plot))
  elif options.plot:
    say(f"--plot: {options.milan} has no confidences, so no plot was written.")
  if options.page:
    written = write_misses(folder / _MISSES, counted, milan=options.milan)
    say(f"Wrote a page of all misses to {written}" if written else "No misses: no page")
