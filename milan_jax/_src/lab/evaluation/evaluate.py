"""`milan-eval`: every test that there is material for, one after another."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
from milan_jax._src.runs.inputs import Identity, Input, Tables, of_files
from milan_jax._src.runs.locks import holding_workdir
from milan_jax._src.runs.progress import say
from milan_jax._src.runs.workdir import open_workdir
from milan_jax._src.store.exemplar_sets import exemplar_files
from milan_jax._src.store.pretrained import load_milan
from milan_jax._src.store.release import Release

# In the order in which they are run: the last takes the others' regions.
TESTS: Mapping[str, Callable[[Job], Outcome]] = {
  "planted": planted.run,
  "classes": class_units.run,
  "stem": stem.run,
  "hand_built": hand_built.run,
  "vgg16": second_network.run,
  "lite0": diversity.run,
  "negatives": negatives.run,
}
# Whose units are true ones: how many of them are refused stands beside the negatives.
_TRUE = ("planted", "classes", "stem", "hand_built")
_MISSES = "misses"


@holding_workdir
def evaluate(
  *,
  workdir: str,
  milan: str,
  images: str,
  corpus: str,
  corpus_features: str,
  tests: str,
  json: str,
  plot: str,
  page: bool,
  seed: int,
) -> dict[str, Any]:
  """Tests a captioner; see `milan_jax._src.options.Eval` for every option.

  The same call with the same `workdir` goes on where one that was stopped left off.

  Returns:
    Figures of each test, by its name, and `about`.

  Raises:
    UserError: an option is wrong, or there is nothing that a test could be run on.
  """
  chosen = _chosen(tests)
  check_plot(plot)
  if not (images or corpus or "stem" in tests):
    raise UserError(
      f"There is nothing to test {milan} on: expected --images, a folder of "
      "photographs, or --corpus, a folder that milan-corpus built. --tests=stem does "
      "without."
    )
  release = load_milan(milan)
  training = baselines.read_training(
    pathlib.Path(corpus) if corpus else None, corpus_features
  )
  folder = open_workdir(
    workdir,
    {"milan": milan, "images": images, "corpus": corpus, "seed": seed},
    identity=_identity(release, images, corpus, Tables(pathlib.Path(workdir))),
    paths=("milan", "images", "corpus"),
  )
  photographs, notes = None, []
  if images:
    held = held_out_photographs(images, release.card, folder)
    photographs = held.folder
    notes.append(
      f"{held.num_shown} photographs are shown; {held.num_trained_on} that {milan} was "
      "trained on are left out."
      if held.told
      else f"{milan} does not say what it was trained on: all {held.num_shown} "
      "photographs are shown, and some may have been."
    )
    say(notes[-1])
  job = Job(milan, folder, photographs, pathlib.Path(corpus) if corpus else None, seed)
  outcomes = _outcomes(job, chosen)
  if not outcomes:
    raise UserError(
      f"None of the tests {', '.join(chosen)} could be run: the lines above say what "
      "each needs."
    )
  cases = {
    name: [case for run in outcome.runs for case in judged(run)]
    for name, outcome in outcomes.items()
  }
  found: dict[str, Any] = {
    name: _figures(name, outcome, cases[name], training, milan)
    for name, outcome in outcomes.items()
  }
  counted = {name: _headline(outcomes[name], each) for name, each in cases.items()}
  if "negatives" in found:
    true = [case for name in _TRUE for case in counted.get(name, ())]
    found["negatives"]["true_units"] = {
      "n": len(true),
      "refused": sum(case.verdict.refused for case in true) / len(true)
      if true
      else None,
    }
  _add_similarity(found, counted, notes)
  tell = calibration.calibration([case for each in counted.values() for case in each])
  print(report.table(found))
  result = found | {
    "about": {**report.about(), "milan": milan, "notes": notes, "calibration": tell}
  }
  for name, outcome in outcomes.items():
    for note in outcome.notes:
      print(f"{name}: {note}")
  _finish(result, counted, folder, milan=milan, json=json, plot=plot, page=page)
  return result


def _identity(release: Release, images: str, corpus: str, tables: Tables) -> Identity:
  """What is tested and what it is tested on, by content."""
  found: dict[str, Input] = {"captioner": of_captioner(release, None)}
  if images:
    files = FolderImages(images, GEOMETRY).files()
    known = tables.known("images")
    found["images"] = of_files("--images", "pictures", files, known=known)
  if corpus:
    files = exemplar_files(corpus)
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
  """The units whose figures stand for the test."""
  if not outcome.headline:
    return list(cases)
  kept = outcome.subsets[outcome.headline]
  return [case for case in cases if case.unit in kept]


def _figures(
  name: str,
  outcome: Outcome,
  cases: Sequence[Judged],
  training: baselines.Training,
  milan: str,
) -> dict[str, Any]:
  own = {"notes": list(outcome.notes), **outcome.extra}
  if not outcome.runs:
    return own
  mine = _headline(outcome, cases)
  if name == "negatives":
    # A constant would be right of all of them, and so tells nothing.
    return own | report.figures(mine) | {"kinds": report.by_kind(mine)}
  captions = [each[0] for each in training.captions.values() if each]
  captions += [text for each in training.captions.values() for text in each[1:]]
  if not captions:
    captions = [each.text for run in outcome.runs for each in run.answers.values()]
  likely = baselines.likelihood(outcome.runs, milan)
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
  """Adds the third view where the model is installed, or says how to install it."""
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
  *,
  milan: str,
  json: str,
  plot: str,
  page: bool,
) -> None:
  """Writes what was asked for."""
  write_json(folder / "figures.json", result)
  if json:
    write_json(json, result)
    say(f"{json}: the figures")
  tell = result["about"]["calibration"]
  if plot and tell:
    calibration.draw(tell, pathlib.Path(plot))
  elif plot:
    say(f"--plot: {milan} tells no confidence, so there is nothing to draw.")
  if page:
    written = write_misses(folder / _MISSES, counted, milan=milan)
    say(f"{written}: every miss pictured" if written else "no miss: no page")
