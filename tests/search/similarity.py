"""How alike two sets of words are, in Python."""


def f1(one: set, other: set) -> float:
  """Harmonic mean of precision and recall; 1 of two empty sets."""
  if not one and not other:
    return 1.0
  return 2 * len(one & other) / (len(one) + len(other))
