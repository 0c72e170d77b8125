"""Which steps are traced."""

import jax
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.training import loop, profiling
from tests.training import test_loop


@pytest.mark.parametrize("wrong", ["", "3", "3:0", "a:2", "-1:2", "1:2:3", "1.5:2"])
def test_a_wrong_profile_is_refused(wrong):
  with pytest.raises(UserError, match="expected START:STEPS"):
    profiling.parse(wrong)


def test_a_profile_is_a_start_and_a_number_of_steps():
  assert profiling.parse("20:5") == (20, 5)
  assert profiling.parse(None).num_steps == 0


@pytest.mark.parametrize(
  ("profile", "expected"),
  [
    ("0:1", ["on", 0, "off", 1, 2, 3, 4, 5, 6, 7]),
    ("3:3", [0, 1, 2, "on", 3, 4, 5, "off", 6, 7]),
    ("6:9", [0, 1, 2, 3, 4, 5, "on", 6, 7, "off"]),
    ("8:1", [0, 1, 2, 3, 4, 5, 6, 7]),
  ],
)
def test_the_trace_is_of_the_steps_asked_for(profile, expected, monkeypatch, tmp_path):
  seen = []
  monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: seen.append("on"))
  monkeypatch.setattr(jax.profiler, "stop_trace", lambda: seen.append("off"))
  annotate = jax.profiler.StepTraceAnnotation

  def annotated(name, step_num):
    seen.append(step_num)
    return annotate(name, step_num=step_num)

  monkeypatch.setattr(jax.profiler, "StepTraceAnnotation", annotated)
  with profiling.Trace(tmp_path, profiling.parse(profile)) as trace:
    test_loop.fit(test_loop.Kept(), loop.FitHooks(trace=trace), max_epochs=2)
  assert seen == expected
  assert trace.is_written == ("on" in expected)


def test_a_trace_is_a_file_of_the_profiler(tmp_path):
  with profiling.Trace(tmp_path / "profile", profiling.parse("1:2")) as trace:
    test_loop.fit(test_loop.Kept(), loop.FitHooks(trace=trace), max_epochs=1)
  (found,) = (tmp_path / "profile").rglob("*.xplane.pb")
  assert found.stat().st_size > 0
