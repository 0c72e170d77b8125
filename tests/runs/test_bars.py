"""Progress on a terminal and in a log."""

import io
import logging

import pytest

from milan_jax._src.runs import bars
from milan_jax._src.runs.progress import say


class Terminal(io.StringIO):
  def isatty(self):
    return True


@pytest.fixture
def clock(monkeypatch):
  """Seconds, as the bars see them."""
  now = [100.0]
  monkeypatch.setattr(bars.time, "monotonic", lambda: now[0])
  return now


def test_a_log_gets_a_line_now_and_then(clock, monkeypatch):
  log = io.StringIO()
  monkeypatch.setattr(bars.sys, "stderr", log)
  with bars.bar("exemplars", "images") as show:
    for done in range(0, 101):
      clock[0] += 1.0
      show(done, 100)
    show(100, 100)
  lines = log.getvalue().split("\n")
  # Eleven moments: every ten seconds, and the end, which is said once.
  assert lines == [
    *(f"exemplars: {done} of 100 images" for done in range(9, 100, 10)),
    "exemplars: 100 of 100 images",
    "",
  ]


@pytest.mark.parametrize(("done", "total"), [(7, 7), (0, 0)])
def test_a_short_step_is_one_line(clock, monkeypatch, done, total):
  log = io.StringIO()
  monkeypatch.setattr(bars.sys, "stderr", log)
  with bars.bar("features", "images") as show:
    for number in range(done + 1):
      show(number, total)
  assert log.getvalue() == f"features: {done} of {total} images\n"


def test_bytes_are_counted_in_millions(clock, monkeypatch):
  log = io.StringIO()
  monkeypatch.setattr(bars.sys, "stderr", log)
  with bars.bar("milan-base.pth", "B", scale=True) as show:
    show(0, 43_000_000)
    clock[0] += 11
    show(21_500_000, 43_000_000)
  assert log.getvalue() == "milan-base.pth: 21.5M of 43.0M B\n"


def test_a_terminal_gets_a_bar(monkeypatch):
  terminal = Terminal()
  monkeypatch.setattr(bars.sys, "stderr", terminal)
  with bars.bar("exemplars", "images") as show:
    show(0, 4)
    show(4, 4)
  assert "\r" in terminal.getvalue() and "4/4" in terminal.getvalue()


def test_a_raised_level_of_the_logger_is_quiet(capfd):
  logger = logging.getLogger("milan_jax")
  for level, lines in ((logging.WARNING, 0), (logging.NOTSET, 2)):
    logger.setLevel(level)
    with bars.bar("features", "images") as show:
      show(3, 3)
    say("done")
    assert len(capfd.readouterr().err.splitlines()) == lines
