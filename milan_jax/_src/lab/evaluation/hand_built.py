"""Test: hand-built units over the photographs, and units for inserted lettering."""

from milan_jax._src.lab.evaluation import hand_built_units, lettering
from milan_jax._src.lab.evaluation.job import Job, Outcome
from milan_jax._src.records import Unit

MODEL = "milan_jax._src.lab.evaluation.hand_built_units:units"


def run(job: Job) -> Outcome:
  """Describes all of these units.

  Raises:
    MissingSourceError: if there are no photographs.
  """
  photographs = job.need_photographs()
  truths = {
    Unit(hand_built_units.LAYER, number): truth
    for number, truth in enumerate(hand_built_units.truths())
  }
  looks = job.describe_shown(
    "hand-built", model=MODEL, images=photographs, truths=truths
  )
  store = job.workdir / "lettering-regions"
  if not store.exists():
    lettering.write_lettering(photographs, store, job.seed)
  letters = job.describe_regions("lettering", store, truths=lettering.truths())
  return Outcome((looks, letters))
