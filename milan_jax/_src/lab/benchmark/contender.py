"""A process that runs one contender, started by `driver.py`.

Each contender has its own process, so that peak memory, threads and compilation time
are measured separately. The driver runs the contenders in turns, so that other load on
the machine slows all of them. Requests and responses are lines of JSON: first a `Spec`,
then any number of `run` requests, then `results`.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from milan_jax._src.lab.benchmark import machine
from milan_jax._src.lab.benchmark.spec import (
  COMPILED,
  CTRANSLATE2,
  JAX_BEAM,
  OURS,
  TEXTBOOK,
  Spec,
)


class Contender(Protocol):
  """A decoder that decodes the same batch repeatedly."""

  def prepare(self) -> dict[str, Any]:
    """Compiles the decoder; returns figures of the compilation."""

  def run(self) -> None:
    """Decodes the batch once."""

  def results(self) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Returns the tokens, the scores and the figures of the last run."""


class _Ours:
  """milan-jax's decoder."""

  def __init__(self, spec: Spec, features: np.ndarray):
    import jax

    from milan_jax._src.decoding.decoder import Decoder
    from milan_jax._src.options.decoding import Decoding
    from milan_jax._src.store.release import load_release

    if len(jax.devices()) < spec.devices:
      raise ValueError(f"{spec.devices} devices requested, {len(jax.devices())} found")
    release = load_release(spec.release)
    self._spec, self._features = spec, features
    self._keys = jax.random.split(jax.random.key(0), len(features))
    self._decoder = Decoder(
      release,
      Decoding(
        spec.strategy,
        length=spec.length,
        beam_size=spec.beam,
        temperature=release.decoding.temperature,
        precision=spec.dtype,
      ),
      batch_size=spec.batch,
      devices=jax.devices()[: spec.devices],
    )
    jax.block_until_ready(self._decoder.weights)

  def prepare(self) -> dict[str, Any]:
    k = self._features.shape[1]
    return {
      "compile_s": self._decoder.compile(k),
      "planned_memory_mb": self._decoder.memory_bytes(k) / 1e6,
    }

  def run(self) -> None:
    import jax

    self._last = jax.block_until_ready(self._decoder.start(self._features, self._keys))

  def results(self) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    from milan_jax._src.decoding.decoder import TIE
    from milan_jax._src.lab.benchmark.work import count_work

    decoded, costs = self._last
    units, k, _ = self._features.shape
    counted = count_work(self._decoder.weights, costs, units=units, k=k)
    figures = {
      "product_peak_gflops": machine.product_peak(self._spec.dtype) / 1e9,
      "gflop_per_unit": counted.needed_flop / units / 1e9,
      "computed_gflop_per_unit": counted.computed_flop / units / 1e9,
      "moved_mb_per_unit": counted.moved_bytes / units / 1e6,
      "ties": int((np.asarray(decoded.margins)[:units] < TIE).sum()),
    }
    # Leaves out the padding of the last device's shard.
    tokens, scores = (np.asarray(x)[:units] for x in (decoded.tokens, decoded.scores))
    return tokens, scores, figures


class _JaxBeam:
  """A textbook beam search in JAX, over milan-jax's own step."""

  def __init__(self, spec: Spec, features: np.ndarray):
    from milan_jax._src.lab.benchmark.jax_beam import FlatBeamDecoder
    from milan_jax._src.store.release import load_release

    self._spec, self._features = spec, features
    self._decoder = FlatBeamDecoder(
      load_release(spec.release),
      strategy=spec.strategy,
      beam_size=spec.beam,
      length=spec.length,
      precision=spec.dtype,
    )

  def prepare(self) -> dict[str, Any]:
    return {"compile_s": self._decoder.compile(self._features)}

  def run(self) -> None:
    self._last = self._decoder(self._features)

  def results(self) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    peak = machine.product_peak(self._spec.dtype) / 1e9
    return (*self._last, {"product_peak_gflops": peak})


class _Peer:
  """CTranslate2, with a transformer of equal arithmetic in place of the captioner.

  On the GPU if it was built for one and JAX uses it too.
  """

  def __init__(self, spec: Spec, features: np.ndarray):
    import ctranslate2
    import jax

    from milan_jax._src.lab.benchmark.peer_decoder import PeerDecoder
    from milan_jax._src.store.release import load_release

    on_gpu = ctranslate2.get_cuda_device_count() and jax.default_backend() == "gpu"
    self._device, self._units = "cuda" if on_gpu else "cpu", len(features)
    self._decoder = PeerDecoder(
      load_release(spec.release),
      strategy=spec.strategy,
      beam_size=spec.beam,
      length=spec.length,
      cores=spec.cores or len(os.sched_getaffinity(0)),
      device=self._device,
      precision=spec.dtype,
    )

  def prepare(self) -> dict[str, Any]:
    return {}

  def run(self) -> None:
    self._last = self._decoder(self._units)

  def results(self) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    peak = machine.product_peak("float32") / 1e9
    return (*self._last, {"device": self._device, "product_peak_gflops": peak})


class _Torch:
  """The textbook decoder, the hoisted or the compiled one, in torch.

  On the GPU if there is one and JAX uses it too; in bfloat16 by torch's autocast.
  """

  def __init__(self, spec: Spec, features: np.ndarray):
    import jax
    import torch

    from milan_jax._src.lab.benchmark.textbook import TextbookDecoder
    from milan_jax._src.store.release import load_release

    on_gpu = torch.cuda.is_available() and jax.default_backend() == "gpu"
    self._device = "cuda" if on_gpu else "cpu"
    rounds = spec.dtype == "tensorfloat32"
    torch.backends.cuda.matmul.allow_tf32 = rounds
    torch.backends.cudnn.allow_tf32 = rounds
    torch.set_num_threads(spec.cores or len(os.sched_getaffinity(0)))
    release = load_release(spec.release)
    self._spec, self._features = spec, features
    self._decoder = TextbookDecoder(
      release,
      beam_size=spec.beam,
      length=spec.length,
      temperature=release.decoding.temperature,
      hoisted=spec.contender != TEXTBOOK,
      compiler="inductor" if spec.contender == COMPILED else None,
      device=self._device,
    )
    self._weights_bytes = torch.cuda.memory_allocated() if on_gpu else 0

  def prepare(self) -> dict[str, Any]:
    if self._spec.contender != COMPILED:
      return {}
    began = time.perf_counter()
    self.run()
    return {"compile_s": time.perf_counter() - began}

  def run(self) -> None:
    import torch

    narrow = self._spec.dtype == "bfloat16"
    with torch.autocast(self._device, torch.bfloat16, enabled=narrow):
      self._last = self._decoder(self._features, self._spec.strategy)

  def results(self) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    import torch

    figures: dict[str, Any] = {"device": self._device}
    if self._device == "cuda":
      figures["device"] = torch.cuda.get_device_name()
      used = torch.cuda.max_memory_allocated() - self._weights_bytes
      figures["peak_memory_mb"] = used / 1e6
    side = machine.PRODUCT_SIDE
    dtype = torch.bfloat16 if self._spec.dtype == "bfloat16" else torch.float32
    matrix = torch.randn(side, side, device=self._device, dtype=dtype)

    def multiply() -> None:
      matrix @ matrix
      if self._device == "cuda":
        torch.cuda.synchronize()

    seconds = machine.fastest(multiply, machine.ROUNDS)
    figures["product_peak_gflops"] = 2 * side**3 / seconds / 1e9
    return (*self._last, figures)


def _make(spec: Spec, features: np.ndarray) -> Contender:
  if spec.contender == OURS:
    return _Ours(spec, features)
  if spec.contender == JAX_BEAM:
    return _JaxBeam(spec, features)
  if spec.contender == CTRANSLATE2:
    return _Peer(spec, features)
  return _Torch(spec, features)


def serve(
  spec: Spec, lines: Iterable[str], answer: Callable[[dict[str, Any]], None]
) -> None:
  """Runs a contender for the requests of the driver.

  Args:
    spec: the configuration.
    lines: the requests, one per line.
    answer: called with each response.
  """
  machine.use_cores(spec.cores)
  features = np.load(spec.features, mmap_mode="r")[: spec.batch]
  contender = _make(spec, np.ascontiguousarray(features))
  before = machine.resident_mb()
  machine.reset_peak()
  answer(contender.prepare() | {"machine": machine.describe_machine()})
  for line in lines:
    request = json.loads(line)
    if request["do"] == "run":
      began = time.perf_counter()
      contender.run()
      answer({"seconds": time.perf_counter() - began})
    else:
      peak = {"peak_memory_mb": machine.peak_mb() - before}
      tokens, scores, figures = contender.results()
      np.savez(request["path"], tokens=tokens, scores=scores)
      answer(peak | figures)


def main() -> None:
  """Serves the driver over standard input and output."""
  # Only responses may go to stdout; output of libraries goes to stderr.
  answers = os.fdopen(os.dup(1), "w", buffering=1)
  os.dup2(2, 1)
  spec = Spec(**json.loads(sys.stdin.readline()))

  def answer(value: dict[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")

  serve(spec, sys.stdin, answer)


if __name__ == "__main__":
  main()
