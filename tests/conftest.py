"""Settings that every test runs under, and the reference files."""

import pathlib

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


def _shared(name: str) -> pathlib.Path:
  path = SHARED / name
  if not path.exists():
    pytest.skip(f"{path} is absent: it holds data that the project may not carry")
  return path


@pytest.fixture(scope="session")
def reference() -> pathlib.Path:
  """Outputs of the original code."""
  return _shared("reference")


@pytest.fixture(scope="session")
def photographs() -> pathlib.Path:
  """A folder of 500 photographs."""
  return _shared("images/imagenet-sample")


@pytest.fixture(scope="session")
def annotations() -> pathlib.Path:
  """Human annotations, `layer,unit,summary`."""
  return _shared("text/milannotations-resnet152-imagenet.csv")
