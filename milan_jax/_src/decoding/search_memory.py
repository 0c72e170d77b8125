"""Whether a search fits into memory, told before it is compiled."""

import bisect
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax

from milan_jax._src.errors import UserError
from milan_jax._src.models.language_models import TRANSFORMER
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.runs.memory import memory_of
from milan_jax._src.store.release import CaptionerSpec, LanguageModelSpec

# Of states, in a compiled search: 4.1 to 4.7 by the compiler's own plans.
_COPIES = 4


@runtime_checkable
class Searched(Protocol):
  """What the memory of a search depends on, such as a `Release`."""

  @property
  def captioner(self) -> CaptionerSpec:
    """Sizes of the captioner."""

  @property
  def language_model(self) -> LanguageModelSpec | None:
    """Sizes of the language model; None if there is none."""

  @property
  def feature_size(self) -> int:
    """Size of a region's features."""


def check_search_fits(
  models: Searched,
  decoding: Decoding,
  batch_size: int,
  memory: int | None = None,
  *,
  flag: str = "batch_size",
) -> None:
  """Refuses a search that needs more memory than there is.

  Args:
    models: what searches.
    decoding: how to search.
    batch_size: units decoded together, by all devices.
    memory: bytes of a device; None asks the device.
    flag: the option for `batch_size`, in messages.

  Raises:
    UserError: with what would fit.
  """
  device = jax.local_devices()[0]
  memory = memory_of(device) if memory is None else memory
  searches = decoding.strategy in ("beam", "rerank")
  beam_size = decoding.beam_size if searches else 1
  share = -(-batch_size // jax.device_count())
  total = search_bytes(models, decoding, share, beam_size)
  if memory is None or total <= memory:
    return

  def largest(needed: Callable[[int], int], limit: int) -> int:
    sizes = range(1, limit)
    return bisect.bisect_left(sizes, True, key=lambda size: needed(size) > memory)

  units = largest(lambda size: search_bytes(models, decoding, size, beam_size), share)
  hypotheses = largest(
    lambda size: search_bytes(models, decoding, share, size), beam_size
  )
  ways = [f"--{flag} {units * jax.device_count()}"] if units else []
  ways += [f"--beam_size {hypotheses}"] if searches and hypotheses else []
  advice = f"{' or '.join(ways)} would fit" if ways else "lower --length too"
  raise UserError(
    f"--{flag} {batch_size} with --beam_size {decoding.beam_size} and --length "
    f"{decoding.length} would take about {total / 1e9:,.0f} GB of memory, and the "
    f"{device.platform} has {memory / 1e9:,.0f} GB: {advice}."
  )


def search_bytes(
  models: Searched, decoding: Decoding, batch_size: int, beam_size: int
) -> int:
  """About how many bytes a search takes beside the weights, rather less than more.

  States, tokens and features count several times, as the search keeps old beside new;
  the consensus of one unit's hypotheses is a square.

  Args:
    models: what searches.
    decoding: how to search.
    batch_size: units that one device decodes together.
    beam_size: hypotheses of each.
  """
  state = 2 * models.captioner.hidden_size
  if models.language_model is not None:
    lm = models.language_model
    # An LSTM keeps two states of a layer; a transformer, keys and values of all tokens.
    kept = decoding.length if lm.architecture == TRANSFORMER else 1
    state += 2 * lm.num_layers * lm.hidden_size * kept
  values = batch_size * (beam_size * (state + decoding.length) + models.feature_size)
  square = 8 * beam_size**2 if decoding.consensus else 0
  return 4 * _COPIES * values + square
