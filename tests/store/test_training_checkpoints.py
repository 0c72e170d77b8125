"""Checkpoints come back as they were saved, and only whole ones count."""

import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.store.training_checkpoints import TrainingCheckpoints
from milan_jax._src.training import state

# Saves a first checkpoint, then is killed as soon as the second begins to appear.
KILLED = """
import os, pathlib, signal, sys, threading, time
import numpy as np
from milan_jax._src.store.training_checkpoints import TrainingCheckpoints

folder = pathlib.Path(sys.argv[1])

def kill():
  while not any(path.name not in ("1",) for path in folder.iterdir()):
    time.sleep(0.0005)
  os.kill(os.getpid(), signal.SIGKILL)

with TrainingCheckpoints(folder) as checkpoints:
  checkpoints.save(1, {"a": np.ones(4, np.float32)}, {"batches": 1})
  threading.Thread(target=kill, daemon=True).start()
  checkpoints.save(2, {"a": np.zeros((20_000_000,), np.float32)}, {"batches": 2})
"""


def some_state(seed):
  params = {"a": {"kernel": jax.random.normal(jax.random.key(seed), (3, 4))}}
  made = state.start_state(params, optimizer=state.make_optimizer(), seed=seed)
  return made._replace(step=jnp.asarray(seed, jnp.int32))


def test_what_was_saved_comes_back_bit_for_bit(tmp_path):
  progress = {"epochs": [{"loss": 0.1 + 0.2}], "batches": 3}
  with TrainingCheckpoints(tmp_path) as checkpoints:
    assert checkpoints.latest() is None
    for seed in (1, 2, 3):
      checkpoints.save(seed, some_state(seed), progress | {"seed": seed})
  with TrainingCheckpoints(tmp_path) as checkpoints:
    assert checkpoints.latest() == 3
    for seed in (2, 3):
      restored, kept = checkpoints.restore(seed, some_state(0))
      assert kept == progress | {"seed": seed}
      assert jax.tree.structure(restored) == jax.tree.structure(some_state(seed))
      jax.tree.map(np.testing.assert_array_equal, restored, some_state(seed))
  assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


def test_a_checkpoint_cut_short_does_not_count(tmp_path):
  killed = subprocess.run([sys.executable, "-c", KILLED, os.fspath(tmp_path)])
  assert killed.returncode == -signal.SIGKILL
  with TrainingCheckpoints(tmp_path) as checkpoints:
    assert checkpoints.latest() == 1
    restored, kept = checkpoints.restore(1, {"a": np.zeros(4, np.float32)})
    np.testing.assert_array_equal(restored["a"], np.ones(4))
    assert kept == {"batches": 1}
    checkpoints.save(2, {"a": np.full(4, 2, np.float32)}, {"batches": 2})
    assert checkpoints.latest() == 2


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_left(tmp_path):
  with TrainingCheckpoints(tmp_path) as checkpoints:
    for step in (1, 2):
      checkpoints.save(step, {"a": np.arange(999, dtype=np.float32)}, {"batches": step})
  files = [path for path in (tmp_path / "2").rglob("*") if path.is_file()]
  like = {"a": np.zeros(999, np.float32)}
  refused = 0
  for path in files:
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:-9] + b"\x07" * len(whole[-9:])):
      path.write_bytes(data)
      with TrainingCheckpoints(tmp_path) as checkpoints:
        try:
          restored, kept = checkpoints.restore(2, like)
        except UserError as error:
          assert f"{tmp_path / '2'} is damaged" in str(error)
          refused += 1
        else:  # what Orbax keeps for itself
          np.testing.assert_array_equal(restored["a"], np.arange(999))
          assert kept == {"batches": 2}
    path.write_bytes(whole)
  assert refused > 2
