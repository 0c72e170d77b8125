"""Two real processes describe together what one describes alone."""

import csv
import os
import sys

import jax
import numpy as np

from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.store.release import save_release
from tests.helpers.commands import run_here
from tests.helpers.feature_store import write_features
from tests.helpers.together import ROOT, free_port, run_together, simulated

SCRIPT = """
import sys, jax, numpy as np
folder, port, process = sys.argv[1], sys.argv[2], int(sys.argv[3])
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=process)
from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.store.release import load_release
assert jax.process_count() == 2 and jax.device_count() == 4
features = np.load(folder + "/features.npy")
keys = jax.random.split(jax.random.key(0), len(features))
decoders = {
  "parity": Decoding(parity=True, beam_size=1),
  "sample": Decoding("sample"),
}
for name, decoding in decoders.items():
  decoder = Decoder(load_release(folder + "/release"), decoding, batch_size=4)
  found = decoder(features, keys)
  np.savez(f"{folder}/{name}{process}.npz", **found._asdict())
"""


def test_two_processes_say_what_one_says(tiny, outputs, tmp_path):
  # One unit a device, and none for the last. The original's language model counts one
  # token too many where others of the batch are longer, so parity must know of them.
  # Rerank is what the commands below decode by.
  features = outputs["features"][:3]
  np.save(tmp_path / "features.npy", features)
  save_release(tiny, tmp_path / "release")
  port = str(free_port())
  environment = {**os.environ, "XLA_FLAGS": simulated(2), "JAX_PLATFORMS": "cpu"}
  assert run_together(
    [[sys.executable, "-c", SCRIPT, str(tmp_path), port, str(i)] for i in range(2)],
    environment,
  ) == [0, 0]
  keys = jax.random.split(jax.random.key(0), 3)
  for name, decoding in (
    ("parity", Decoding(parity=True, beam_size=1)),
    ("sample", Decoding("sample")),
  ):
    one = Decoder(tiny, decoding, batch_size=4)(features, keys)
    for process in range(2):
      found = np.load(tmp_path / f"{name}{process}.npz")
      np.testing.assert_array_equal(found["tokens"], one.tokens)
      for part in ("scores", "log_probs", "lm_log_probs"):
        np.testing.assert_allclose(found[part], getattr(one, part), atol=1e-5)


def test_two_commands_describe_a_feature_store_together(tiny, outputs, tmp_path):
  store = tmp_path / "features"
  write_features(store, outputs["features"])
  save_release(tiny, tmp_path / "release")
  flags = (f"--features={store}", f"--milan={tmp_path / 'release'}", "--batch_size=2")
  command = [sys.executable, str(ROOT / "describe.py"), *flags]
  environment = os.environ | {"JAX_PLATFORMS": "cpu"}

  def both(workdir):
    port = free_port()
    shared = [f"--coordinator=127.0.0.1:{port}", "--num_processes=2"]
    return [
      [*command, f"--workdir={workdir}", *shared, f"--process_id={i}"] for i in range(2)
    ]

  assert run_here("describe", *flags, f"--workdir={tmp_path / 'one'}").returncode == 0
  assert run_together(both(tmp_path / "two"), environment) == [0, 0]
  one, two = (_table(tmp_path / name / "descriptions.csv") for name in ("one", "two"))
  assert [row["description"] for row in two] == [row["description"] for row in one]
  assert len(two) == 8
  for name in ("score", "log_prob", "lm_log_prob"):
    found, expected = ([float(row[name]) for row in rows] for rows in (two, one))
    np.testing.assert_allclose(found, expected, atol=1e-5)
  # A run that was stopped after two batches goes on and gives the same bytes.
  whole = (tmp_path / "two" / "descriptions.jsonl").read_bytes()
  journal = b"".join(whole.splitlines(keepends=True)[:4])
  (tmp_path / "two" / "descriptions.jsonl").write_bytes(journal + b'{"unit"')
  assert run_together(both(tmp_path / "two"), environment) == [0, 0]
  assert (tmp_path / "two" / "descriptions.jsonl").read_bytes() == whole


def _table(path):
  with path.open(newline="") as file:
    return list(csv.DictReader(file))
