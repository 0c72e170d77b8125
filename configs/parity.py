"""Describes exemplars exactly as the original does, its counting errors included.

python describe.py --config=configs/parity.py --exemplars=DIR --workdir=runs/parity
"""

from milan_jax import DescribeOptions


def get_config() -> DescribeOptions:
  """Returns the options of `describe.py`."""
  return DescribeOptions.of(
    workdir="runs/parity",
    milan="base",
    strategy="rerank",
    beam_size=50,
    temperature=0.2,
    length=15,
    batch_size=16,
    parity=True,
  )
