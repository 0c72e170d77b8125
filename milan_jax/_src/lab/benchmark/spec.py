"""The specification of a measurement: one contender in one configuration."""

import dataclasses

# milan-jax's decoder; the published search in torch; the same search with everything
# that is constant across steps computed once; that one by `torch.compile`; a textbook
# beam search in JAX over milan-jax's own step; CTranslate2 with another model.
OURS, TEXTBOOK, HOISTED, COMPILED = "ours", "textbook", "hoisted", "compiled"
JAX_BEAM, CTRANSLATE2 = "jax_beam", "ctranslate2"
TORCH = (TEXTBOOK, HOISTED, COMPILED)
OTHERS = (*TORCH, JAX_BEAM, CTRANSLATE2)


@dataclasses.dataclass(frozen=True)
class Spec:
  """One contender in one configuration; plain values that can be sent to a process.

  Attributes:
    contender: `OURS` or one of `OTHERS`.
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
