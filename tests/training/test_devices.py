"""The step on one device and on eight simulated ones."""

import os
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Writes the loss and the gradients of a step with dropout.
PROGRAM = """
import sys
import jax, numpy as np
import jax.numpy as jnp
from milan_jax._src.runs.mesh import make_mesh
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.training import batches, losses, objectives, state, step

rng = np.random.default_rng(0)
# Fourteen captions of uneven lengths, and two rows that only fill the batch.
tokens = rng.integers(0, 20, size=(16, 7))
for row, length in zip(tokens, rng.integers(1, 6, size=16)):
  row[0], row[length], row[length + 1:] = 20, 21, 22
weights = np.ones(16, np.float32)
weights[14:] = 0
batch = batches.Batch(
  tokens[:, :-1], tokens[:, 1:], weights, rng.normal(size=(16, 3, 5)).astype("f4")
)
model = Captioner(24, 5, hidden_size=8, embedding_size=4)
shapes = jax.eval_shape(
  model.init, jax.random.key(0), jnp.zeros((1, 3, 5)), jnp.zeros((1, 1), int)
)["params"]
params = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), shapes)
mesh = make_mesh()
optimizer = state.make_optimizer()
before = state.start_state(params, optimizer=optimizer, seed=0)
after, terms = step.make_step(
  objectives.captioner_objective(model, pad_id=22), optimizer
)(
  step.replicate(before, mesh),
  step.replicate(losses.no_terms(objectives.CAPTIONER_TERMS), mesh),
  step.shard(batch, mesh),
)
# After one step the first moments are a tenth of the gradients.
gradients = jax.tree.map(lambda moment: 10 * moment, after.opt_state[0].mu)
leaves = [jax.device_count(), losses.sum_of_means(terms), *jax.tree.leaves(gradients)]
np.savez(sys.argv[1], *map(np.asarray, leaves))
"""


def run(path, num_devices):
  flags = f"--xla_force_host_platform_device_count={num_devices}"
  environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
  command = [sys.executable, "-c", PROGRAM, os.fspath(path)]
  subprocess.run(command, check=True, env=environment, cwd=ROOT)
  with np.load(path) as file:
    return [file[name] for name in file.files]


def test_eight_devices_take_the_step_of_one(tmp_path):
  count, *one = run(tmp_path / "1.npz", 1)
  assert count == 1
  count, *eight = run(tmp_path / "8.npz", 8)
  assert count == 8
  assert len(one) == 1 + 19
  assert float(one[0]) > 1
  # The softmax ignores the bias of the regions' energies: one gradient is zero.
  assert sum(not a.any() for a in one) == 1
  for a, b in zip(one, eight, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-6)
