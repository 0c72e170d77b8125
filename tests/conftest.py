"""Settings that every test runs under, and the reference files."""

import json
import pathlib

import jax
import numpy as np
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


@pytest.fixture(scope="session")
def tiny(reference):
  """The release made from the original's tiny checkpoint."""
  from milan_jax.store.official import read_official, to_release

  return to_release(read_official(reference / "decoder-tiny.pth"))


@pytest.fixture(scope="session")
def outputs(reference):
  """What the original computed with it."""
  with np.load(reference / "reference-tiny.npz") as arrays:
    return dict(arrays)


@pytest.fixture(scope="session")
def strings(outputs):
  """What the original wrote with it."""
  return json.loads(bytes(outputs["strings_json"]))
