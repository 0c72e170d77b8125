"""What is measured: one configuration, and the contenders that run it."""

import dataclasses

# Our decoder; the published search in torch; the same with what does not change between
# steps computed once.
OURS, TEXTBOOK, HOISTED = "ours", "textbook", "hoisted"


@dataclasses.dataclass(frozen=True)
class Spec:
  """One contender in one configuration; plain values, to be sent to a process.

  Attributes:
    contender: `OURS`, `TEXTBOOK` or `HOISTED`.
    release: folder of the captioner.
    features: file of features, `(units, k, features)`; the first `batch` are decoded.
    strategy: greedy, beam or rerank.
    batch: units decoded together.
    beam: hypotheses per unit.
    length: maximum tokens per description.
    dtype: float32, tensorfloat32 or bfloat16.
    devices: devices to spread the batch over; on a CPU, simulated ones.
    cores: cores the process may use; 0 for all.
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
