from milan_jax._src.probe.attention_parts import without_attention


def test_heads_and_weights_are_no_maps():
  arrays = {
    "cut": (5, 8, 14, 14),
    "tokens": (5, 197, 96),
    "split": (5, 197, 12, 8),
    "heads": (5, 12, 197, 8),
    "keys": (5, 12, 8, 197),
    "weights": (5, 12, 197, 197),
    "given": (5, 12, 197, 8),
    # A map of a later convolution, with as many channels as tokens.
    "patches": (5, 49, 96),
    "map": (5, 49, 7, 7),
    "last": (5, 7, 7, 49),
    "wide": (5, 96, 14, 7),
    "pool": (5, 96, 1, 1),
    "head": (5, 10),
  }
  kept = without_attention(arrays, 5, given={"given"})
  assert list(kept) == [
    *("cut", "tokens", "given", "patches", "map", "last", "wide", "pool", "head"),
  ]
  # Arrays of another batch size and single tokens are ignored.
  assert without_attention({"a": (4, 7, 3), "b": (5, 9, 7, 3)}, 5)["b"]
  assert without_attention({"a": (5, 1, 3), "b": (5, 9, 1, 1)}, 5)["b"]
