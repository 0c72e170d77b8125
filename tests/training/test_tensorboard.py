"""What TensorBoard is given; tensorboardX itself is replaced by a recorder."""

import sys
import types

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.training import tensorboard


def _epoch(number, mfu=None):
  return {
    "epoch": number,
    "model": "captioner",
    "improved": True,
    "training": {"loss": 3.0 + number, "nll": 2.0},
    "validation": {"loss": 4.0, "bleu": 7.5},
    "seconds": 9.0,
    "captions_per_second": 50.0,
    "step_seconds": 0.25,
    "flops_per_second": 1e9,
    "mfu": mfu,
  }


@pytest.fixture
def written(monkeypatch):
  """The calls of the writers, in order."""
  calls = []

  class Writer:
    def __init__(self, folder, purge_step):
      calls.append(("open", folder, purge_step))

    def add_scalar(self, name, value, step):
      calls.append((name, value, step))

    def flush(self):
      pass

    def close(self):
      calls.append("close")

  module = types.SimpleNamespace(SummaryWriter=Writer)
  monkeypatch.setitem(sys.modules, "tensorboardX", module)
  return calls


def test_an_epoch_is_written_once_and_by_a_resumed_run_again(tmp_path, written):
  with tensorboard.Board(tmp_path) as board:
    board.write([_epoch(0)])
    board.write([_epoch(0), _epoch(1, mfu=0.125)])
  first = [
    ("training/loss", 3.0, 0),
    ("training/nll", 2.0, 0),
    ("validation/loss", 4.0, 0),
    ("validation/bleu", 7.5, 0),
    ("speed/captions_per_second", 50.0, 0),
    ("speed/step_seconds", 0.25, 0),
    ("speed/flops_per_second", 1e9, 0),
  ]
  second = [(name, value + (name == "training/loss"), 1) for name, value, _ in first]
  second.append(("speed/mfu", 0.125, 1))
  opened = ("open", str(tmp_path), 0)
  assert written == [opened, *first, *second, "close"]
  written.clear()
  with tensorboard.Board(tmp_path) as board:
    board.write([_epoch(0), _epoch(1, mfu=0.125)])
  assert written == [opened, *first, *second, "close"]


def test_nothing_is_written_unless_asked_for(written):
  with tensorboard.Board(None) as board:
    board.write([_epoch(0)])
  assert written == []


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
  monkeypatch.setitem(sys.modules, "tensorboardX", None)
  with pytest.raises(UserError, match=r"milan-jax\[tensorboard\]"):
    tensorboard.check_installed()
