"""The specification of a measurement: one contender in one configuration."""

import dataclasses

# milan-jax's decoder; the published search in torch; the same search with everything
# that is constant across steps computed once.
OURS, TEXTBOOK, HOISTED = "ours", "textbook", "hoisted"


@dataclasses.dataclass(frozen=True)
class Spec:
  """One contender in one configuration; plain values that can be sent to a process.

  Attributes:
    contender: `OURS`, `TEXTBOOK` or `HOISTED`.
    release: folder of the captioner.
    features: file of features, `(units, k, features)`; the first `batch` units are
      decoded.
    strategy: greedy, beam or rerank.
    batch: units decoded together.
    beam: hypotheses per unit.
    length: maximum tokens per description.
    dtype: float32, tensorfloat32 or bfloat16.
    devices: number of devices for the batch; simulated on a CPU.
    cores: number of cores for the process; 0 for all.
  """

  contender: str
  release: str
  features: str
  strategy: str
  batch: int
  beam: int
  length: int
  dtype: str
  devices: int
  cores: int
