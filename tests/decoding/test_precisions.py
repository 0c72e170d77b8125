"""Descriptions in each precision against the original's, on the device that is here."""

import dataclasses

import jax
import numpy as np
import pytest

from milan_jax._src.decoding.decoder import Decoder, fuse_for
from milan_jax._src.models.products import KernelByOutputs
from milan_jax._src.options.decoding import PRECISIONS, Decoding
from milan_jax._src.options.describe import DecodingOptions
from tests.helpers.devices import NATS, SAME

STOP = 425


def _up_to_stop(tokens):
  tokens = [list(map(int, row)) for row in tokens]
  return [row[: row.index(STOP)] if STOP in row else row for row in tokens]


@pytest.mark.device
@pytest.mark.parametrize("precision", PRECISIONS)
def test_rerank_is_the_originals(tiny, outputs, precision):
  options = DecodingOptions(strategy="rerank", beam_size=50, parity=True)
  decoding = dataclasses.replace(
    options.resolve(tiny.decoding, language_model=True), precision=precision
  )
  decoder = Decoder(tiny, decoding, batch_size=8)
  found = decoder(outputs["features"], jax.random.split(jax.random.key(0), 8))
  pairs = zip(
    _up_to_stop(found.tokens), _up_to_stop(outputs["rerank50/tokens"]), strict=True
  )
  same = np.array([one == other for one, other in pairs])
  assert same.mean() >= SAME[precision]
  differences = np.abs(found.scores - outputs["rerank50/scores"])[same]
  assert differences.max() < NATS[precision]
  print(f"{precision}: {same.mean():.0%} the same, within {differences.max():.1e}")


@pytest.mark.parametrize("platform", ["cpu", "gpu", "tpu"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_kernels_are_stored_by_outputs_for_a_cpu_in_float32(tiny, precision, platform):
  fuse = fuse_for(Decoding(precision=precision), platform)
  params = {name: tiny.params[name] for name in ("captioner", "language_model")}
  weights = jax.eval_shape(fuse, params)
  expected = platform == "cpu" and precision != "bfloat16"
  captioner, language_model = weights.captioner, weights.language_model
  stored = [captioner.start, captioner.state, captioner.context]
  stored += [*language_model.inputs, *language_model.hiddens]
  for kernel in stored:
    assert isinstance(kernel, KernelByOutputs) == expected
