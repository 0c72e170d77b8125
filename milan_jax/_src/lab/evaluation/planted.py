"""Test: the corpus's held-out region sets, with the truths in its `truth.json`.

Units of nothing are left out.
"""

from milan_jax._src.errors import UserError
from milan_jax._src.lab.evaluation.described import Run
from milan_jax._src.lab.evaluation.job import Job, Outcome
from milan_jax._src.store.splits import FILE, read_split
from milan_jax._src.store.truths import TRUTH, read_truths


def run(job: Job) -> Outcome:
  """Describes the corpus's test units that show a concept."""
  found = describe_test_units(job)
  positive = {unit: t for unit, t in found.truths.items() if not t.negative}
  return Outcome((Run(found.folder, found.exemplars, found.answers, positive),))


def describe_test_units(job: Job) -> Run:
  """Describes all of the corpus's test units, including those of nothing.

  Raises:
    MissingSourceError: if there is no corpus.
    UserError: if the corpus is damaged, or has no test units with a truth.
  """
  corpus = job.need_corpus()
  truths = read_truths(corpus)
  split = read_split(corpus / FILE)
  chosen = {
    unit: truth for unit, truth in truths.items() if split.get(unit, "") == "test"
  }
  if not chosen:
    raise UserError(
      f"--corpus: none of the {len(truths)} units in {corpus / TRUTH} belongs to the "
      f"split test in {FILE}: build the corpus again."
    )
  units = job.workdir / "planted-units.txt"
  units.write_text("".join(f"{unit.index}\n" for unit in sorted(chosen)))
  return job.describe_regions("planted", corpus, units=str(units), truths=chosen)
