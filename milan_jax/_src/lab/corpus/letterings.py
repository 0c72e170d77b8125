"""Random words, numbers and codes to be rendered into scenes."""

import numpy as np

_WORDS = """
  open closed sale market street hotel cafe bakery garden fresh coffee water milk
  music radio power start stop enter exit north south east west summer winter spring
  travel city river bridge station ticket police school library museum park danger
  notice welcome please private public order special price total model series company
  product import original classic super extra premium quality natural home news daily
  world times sport club team union express service center east fire safety first
  second third level floor room page chapter volume edition press house brothers sons
  limited group studio photo video digital system control select menu option volume
  channel memory delete shift enter
  """.split()


def lines(rng: np.random.Generator) -> list[str]:
  """Draws one to four lines of text like those on signs, labels, keys and pages."""
  kind = rng.random()
  if kind < 0.25:
    return ["".join(str(rng.integers(10)) for _ in range(rng.integers(1, 6)))]
  if kind < 0.4:
    return [chr(int(rng.integers(65, 91))) * 1 + str(rng.integers(10, 999))]
  number = int(rng.integers(1, 5)) if kind < 0.8 else 1
  result = []
  for _ in range(number):
    picked = [_WORDS[int(rng.integers(len(_WORDS)))] for _ in range(rng.integers(1, 4))]
    line = " ".join(picked)
    form = rng.random()
    result.append(line.upper() if form < 0.5 else line.title() if form < 0.8 else line)
  return result
