"""One optimization step and one evaluation, on any number of devices."""

from collections.abc import Callable

import jax
import numpy as np
import optax
from jaxtyping import Int, PRNGKeyArray, PyTree

from milan_jax._src.runs.precision import full_float32
from milan_jax._src.runs.random_keys import key_of
from milan_jax._src.training import batches, losses, state
from milan_jax._src.training.read_ahead import LocalRows

# Computes the losses of a batch for the weights; with a key, dropout is on.
Objective = Callable[[PyTree, batches.Batch, PRNGKeyArray | None], losses.Terms]
Step = Callable[
  [state.TrainState, losses.Terms, batches.Batch], tuple[state.TrainState, losses.Terms]
]
Evaluation = Callable[[PyTree, losses.Terms, batches.Batch], losses.Terms]


def replicate(tree: PyTree, mesh: jax.sharding.Mesh) -> PyTree:
  """Replicates every array on all devices.

  Several processes must have the same values.
  """
  sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  if jax.process_count() == 1:
    return jax.device_put(tree, sharding)

  def place(array: jax.Array) -> jax.Array:
    value = np.asarray(array)
    return jax.make_array_from_callback(
      value.shape, sharding, lambda index: value[index]
    )

  return jax.tree.map(place, tree)


def shard(batch: batches.Batch, mesh: jax.sharding.Mesh) -> batches.Batch:
  """Shards the rows of a batch over the devices; their number must divide the rows.

  Of several processes, each gives the rows that its devices hold (`local_rows`).
  """
  sharding = _by_rows(mesh)
  sharded: batches.Batch
  if jax.process_count() == 1:
    sharded = jax.device_put(batch, sharding)
  else:
    sharded = jax.tree.map(
      lambda rows: jax.make_array_from_process_local_data(sharding, rows), batch
    )
  return sharded


def local_rows(mesh: jax.sharding.Mesh) -> LocalRows | None:
  """Returns the function for the rows that the devices of this process hold.

  None for a single process, which holds all rows.

  Args:
    mesh: the devices of all processes.
  """
  if jax.process_count() == 1:
    return None

  def rows(number: int) -> Int[np.ndarray, "local"]:
    held = _by_rows(mesh).addressable_devices_indices_map((number,)).values()
    found = [np.arange(number)[index] for index in held if index is not None]
    return np.sort(np.concatenate(found))

  return rows


def _by_rows(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
  return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))


def make_step(objective: Objective, optimizer: optax.GradientTransformation) -> Step:
  """Returns the compiled training step.

  The program is written for the global batch. If the batch is sharded, the compiler
  inserts the sums over devices, so the loss is the mean over the global batch for any
  number of devices, and the dropout masks are the same.

  Matrix products are in full float32 on every device, also in the evaluation.

  Args:
    objective: computes the losses of a batch.
    optimizer: transforms gradients to updates.

  Returns:
    A function from a state, the losses so far and a batch to the next state and the
    losses including the batch. It donates the state and the losses.
  """

  def take(
    train_state: state.TrainState, so_far: losses.Terms, batch: batches.Batch
  ) -> tuple[state.TrainState, losses.Terms]:
    key = key_of(train_state.key)
    key = jax.random.fold_in(key, train_state.step)

    def loss(params: PyTree) -> tuple[jax.Array, losses.Terms]:
      terms = objective(params, batch, key)
      return losses.sum_of_means(terms), terms

    gradients, terms = jax.grad(loss, has_aux=True)(train_state.params)
    updates, opt_state = optimizer.update(
      gradients, train_state.opt_state, train_state.params
    )
    following = train_state._replace(
      step=train_state.step + 1,
      params=optax.apply_updates(train_state.params, updates),
      opt_state=opt_state,
    )
    return following, losses.add_terms(so_far, terms)

  return jax.jit(full_float32(take), donate_argnums=(0, 1))


def make_evaluation(objective: Objective) -> Evaluation:
  """Returns a compiled function that adds a batch's losses without dropout."""

  def evaluate(
    params: PyTree, so_far: losses.Terms, batch: batches.Batch
  ) -> losses.Terms:
    return losses.add_terms(so_far, objective(params, batch, None))

  return jax.jit(full_float32(evaluate))
