"""The starter captioner on stem units, whose truth is in their kernels."""

import numpy as np
import pytest

from milan_jax._src.api.captioners import load
from milan_jax._src.lab.evaluation import stem
from milan_jax._src.lab.evaluation.described import judged
from milan_jax._src.lab.evaluation.job import Job
from milan_jax._src.text.judge import judge
from tests.helpers.one_size import one_size


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, optimized):
  """The stem's units, described over the packaged photographs."""
  with one_size():
    return stem.run(Job(load("starter"), tmp_path_factory.mktemp("stem")))


def test_seven_in_ten_agree_with_their_kernels(outcome):
  (run,) = outcome.runs
  assert len(run.answers) == 32 and len(run.truths) == 28
  cases = list(judged(run))
  wrong = {case.unit: case.answer.text for case in cases if not case.verdict.lenient}
  assert np.mean([case.verdict.lenient for case in cases]) >= 0.7, wrong


def test_the_judge_tells_units_apart(outcome):
  """Another unit's description agrees with a kernel far more rarely."""
  (run,) = outcome.runs
  mixed = [
    judge(run.answers[other].text, truth).lenient
    for unit, truth in run.truths.items()
    for other in run.truths
    if other != unit
  ]
  assert np.mean(mixed) < 0.35
