"""Writes `imagenet_classes.json`: ImageNet's classes and their WordNet hypernyms.

```
python -m milan_jax._src.lab.evaluation.wordnet_table DATA_NOUN LABELS OUT
```

DATA_NOUN is WordNet 3.0's `data.noun` (Debian: `wordnet-base`). LABELS lists the 1,000
classes, like `image_classification/imagenet_resized_labels.txt` in the package
tensorflow-datasets. A class's id is `n` followed by its eight-digit offset in
DATA_NOUN.
"""

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any


def read_synset(line: str) -> tuple[list[str], list[str]]:
  """Parses a line of `data.noun` into its lemmas and the ids of its direct hypernyms.

  Source: wndb(5WN): offset, file, type, a count in hexadecimal, pairs of a word and a
  number, a decimal count, and quadruples of a pointer, an offset, a type and a
  source/target. Instances (`@i`) count as hypernyms.
  """
  fields = line.split(" | ")[0].split()
  num_words = int(fields[3], 16)
  words = fields[4 : 4 + 2 * num_words : 2]
  start = 4 + 2 * num_words
  pointers = fields[start + 1 : start + 1 + 4 * int(fields[start])]
  above = [
    "n" + pointers[place + 1]
    for place in range(0, len(pointers), 4)
    if pointers[place] in ("@", "@i") and pointers[place + 2] == "n"
  ]
  return [word.replace("_", " ") for word in words], above


def table(data_noun: pathlib.Path, wnids: Sequence[str]) -> dict[str, Any]:
  """Returns the sorted classes, with the synsets of the classes and their hypernyms."""
  lines = {
    "n" + line[:8]: line
    for line in data_noun.read_text(encoding="utf-8").splitlines()
    if not line.startswith("  ")
  }
  synsets: dict[str, Any] = {}
  waiting = list(wnids)
  while waiting:
    name = waiting.pop()
    if name not in synsets:
      lemmas, above = read_synset(lines[name])
      synsets[name] = {"lemmas": lemmas, "above": above}
      waiting += above
  return {
    "source": "WordNet 3.0, copyright 2006 by Princeton University: see THIRD_PARTY.md",
    "classes": sorted(wnids),
    "synsets": dict(sorted(synsets.items())),
  }


def main(arguments: Sequence[str]) -> None:
  """Reads DATA_NOUN and LABELS and writes OUT."""
  data_noun, labels, out = map(pathlib.Path, arguments)
  found = table(data_noun, labels.read_text().split())
  lines = [
    "{",
    f'"source": {json.dumps(found["source"])},',
    f'"classes": {json.dumps(found["classes"])},',
    '"synsets": {',
    ",\n".join(
      f"{json.dumps(name)}: {json.dumps(entry)}"
      for name, entry in found["synsets"].items()
    ),
    "}}",
  ]
  out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
  main(sys.argv[1:])
