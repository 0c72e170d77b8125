"""Two real processes describe together what one describes alone."""

import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np

from milan_jax.pipeline.decode import Decoder, Decoding
from milan_jax.store.release import save_release

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = """
import sys, jax, numpy as np
folder, port, process = sys.argv[1], sys.argv[2], int(sys.argv[3])
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=process)
from milan_jax.pipeline.decode import Decoder, Decoding
from milan_jax.store.release import load_release
assert jax.process_count() == 2 and jax.device_count() == 4
features = np.load(folder + "/features.npy")
keys = jax.random.split(jax.random.key(0), len(features))
decoders = {
  "rerank": Decoding(),
  "parity": Decoding(parity=True),
  "sample": Decoding("sample"),
}
for name, decoding in decoders.items():
  decoder = Decoder(load_release(folder + "/release"), decoding, batch_size=8)
  found = decoder(features, keys)
  np.savez(f"{folder}/{name}{process}.npz", **found._asdict())
"""


def _free_port():
  with socket.socket() as server:
    server.bind(("127.0.0.1", 0))
    return server.getsockname()[1]


def test_two_processes_say_what_one_says(tiny, outputs, tmp_path):
  features = outputs["features"][:7]  # the last device has one unit and a padded one
  np.save(tmp_path / "features.npy", features)
  save_release(tiny, tmp_path / "release")
  port = str(_free_port())
  flags = "--xla_force_host_platform_device_count=2"
  environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
  processes = [
    subprocess.Popen(
      [sys.executable, "-c", SCRIPT, str(tmp_path), port, str(i)],
      cwd=ROOT,
      env=environment,
    )
    for i in range(2)
  ]
  try:
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
  finally:
    for process in processes:
      process.kill()
  keys = jax.random.split(jax.random.key(0), 7)
  for name, decoding in (
    ("rerank", Decoding()),
    ("parity", Decoding(parity=True)),
    ("sample", Decoding("sample")),
  ):
    one = Decoder(tiny, decoding, batch_size=8)(features, keys)
    for process in range(2):
      found = np.load(tmp_path / f"{name}{process}.npz")
      np.testing.assert_array_equal(found["tokens"], one.tokens)
      for part in ("scores", "log_probs", "lm_log_probs"):
        np.testing.assert_allclose(found[part], getattr(one, part), atol=1e-5)
