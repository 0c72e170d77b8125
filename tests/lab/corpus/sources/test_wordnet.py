import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.lab.corpus.sources import wordnet
from milan_jax._src.lab.corpus.sources.wordnet import WordNet

# Offset of its line, words, pointers; each line names the ones before it.
LINES = (
  (("entity",), ("~",)),
  (("animal", "animate_being"), ("@",)),
  (("artifact",), ("@",)),
  (("dog", "domestic_dog", "Canis_familiaris"), ("+", "@", "@")),
  (("Lassie",), ("@i",)),
)
PARENTS = ((), (0,), (0,), (0, 1, 2), (3,))


@pytest.fixture
def found(tmp_path):
  """The word net and the ids of `LINES`."""
  text = "  1 This file is made up for a test.\n"
  offsets = []
  for (words, symbols), parents in zip(LINES, PARENTS, strict=True):
    offsets.append(len(text))
    targets = [offsets[parent] for parent in parents] or [0]
    pointers = [
      f"{symbol} {target:08d} n 0000"
      for symbol, target in zip(symbols, targets, strict=True)
    ]
    lemmas = " ".join(f"{word} 0" for word in words)
    text += f"{offsets[-1]:08d} 05 n {len(words):02x} {lemmas} "
    text += f"{len(pointers):03d} {' '.join(pointers)} | a gloss @ 00000000 n 0000\n"
  path = tmp_path / wordnet.FILE
  path.parent.mkdir(parents=True)
  path.write_text(text)
  return WordNet(tmp_path), [f"n{offset:08d}" for offset in offsets]


def test_words_and_parents(found):
  net, (entity, animal, artifact, dog, lassie) = found
  assert net.lemmas(dog) == ("dog", "domestic dog", "Canis familiaris")
  assert net.lemmas(entity) == ("entity",)
  # By the first parent, not by the pointer before it that is no parent.
  assert net.hypernyms(dog) == (animal, entity)
  assert net.hypernyms(lassie) == (dog, animal, entity)
  assert net.hypernyms(artifact) == (entity,)
  assert net.hypernyms(entity) == ()


def test_unknown_ids_and_a_missing_file_are_errors(found, tmp_path):
  net, _ = found
  for wrong in ("n00000001", "n99999999", "dog", "v00000037"):
    with pytest.raises(KeyError, match=f"{wrong} is no noun"):
      net.lemmas(wrong)
  with pytest.raises(UserError, match="expected the unpacked package wordnet-base"):
    WordNet(tmp_path / "nowhere")
