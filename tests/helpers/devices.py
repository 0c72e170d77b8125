"""The device that the tests run on, and how exact its results are."""

import jax
import torch

# How far the score of a description may be from the original's, in nats, by precision.
# The scores of the recorded descriptions are between 5 and 30 nats.
NATS = {"float32": 1e-4, "tensorfloat32": 0.02, "bfloat16": 0.1}
# The part of the recorded units whose description must be the original's: those whose
# best two descriptions are close may change places.
SAME = {"float32": 1.0, "tensorfloat32": 0.75, "bfloat16": 0.75}


def tolerance(cpu: float, accelerator: float) -> float:
  """Returns what the device needs in float32.

  Results of a CPU differ from the expected ones in the last digits. An accelerator adds
  in other orders and has other exponentials, so they differ in a digit more.
  """
  return cpu if jax.default_backend() == "cpu" else accelerator


def torch_device() -> str:
  """Returns the device for torch modules, which there computes in full float32."""
  if jax.default_backend() != "gpu" or not torch.cuda.is_available():
    return "cpu"
  torch.backends.cudnn.allow_tf32 = False
  return "cuda"
