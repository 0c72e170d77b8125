"""Diversity of descriptions, and the fraction of broken sentences."""

from collections.abc import Mapping
from typing import Any

from milan_jax._src.lab.evaluation.described import Answer, by_likelihood
from milan_jax._src.lab.evaluation.job import Job, Outcome
from milan_jax._src.records import Unit
from milan_jax._src.text.fluency import is_broken
from milan_jax._src.text.wording import is_refusal, tokens

NUM_EXAMPLES = 8


def diversity(answers: Mapping[Unit, Answer]) -> dict[str, Any]:
  """Counts distinct words and descriptions, in lower case, and broken sentences.

  All refusals count as one description, and their words do not count. `broken` is the
  fraction of broken sentences among all descriptions except refusals.

  Args:
    answers: the answers for some units; dead units are left out.
  """
  texts = [answer.text for answer in answers.values() if not answer.dead]
  told = [text for text in texts if not is_refusal(text)]
  distinct = sorted({text.strip().lower() for text in texts})
  step = max(1, len(told) // NUM_EXAMPLES)
  return {
    "n": len(texts),
    "distinct_words": len({word for text in told for word in tokens(text)}),
    "distinct_descriptions": len(distinct),
    "refused": 1 - len(told) / len(texts) if texts else None,
    "broken": sum(map(is_broken, told)) / len(told) if told else None,
    "examples": told[::step][:NUM_EXAMPLES],
  }


def run(job: Job) -> Outcome:
  """Describes Lite0's default layers by mutual information and by likelihood.

  Raises:
    MissingSourceError: if there are no photographs.
  """
  images = str(job.need_photographs())
  found = job.describe_shown("lite0", images=images, units="all")
  plain = diversity(by_likelihood(found, job.captioner))
  layers = dict.fromkeys(unit.layer for unit in found.answers)
  extra = {
    **diversity(found.answers),
    "by_likelihood": plain,
    "layers": {
      layer: diversity(
        {unit: each for unit, each in found.answers.items() if unit.layer == layer}
      )
      for layer in layers
    },
  }
  note = (
    f"{extra['distinct_words']} words and {extra['distinct_descriptions']} "
    f"descriptions over {extra['n']} units, {extra['broken'] or 0:.1%} of them broken; "
    "by likelihood alone "
    f"{plain['distinct_words']} and {plain['distinct_descriptions']}."
  )
  return Outcome((), notes=(note,), extra=extra)
