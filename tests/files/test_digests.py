import numpy as np

from milan_jax._src.files.digests import sha256_of, sha256_of_file

# The example of FIPS 180.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_of_a_file(tmp_path):
  (tmp_path / "a").write_bytes(b"abc")
  assert sha256_of_file(tmp_path / "a") == ABC


def test_of_parts_one_after_another():
  assert sha256_of(["a", b"bc"]) == ABC
  transposed = np.array([[0x61, 0x63], [0x62, 0x64]], np.uint8).T[:1]
  assert sha256_of([transposed, "c"]) == ABC
  assert sha256_of([np.array(0x6261, "<u2"), np.zeros((0, 3)), "c"]) == ABC
