"""The words of the documents, messages and docstrings: plain, and spelled one way."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [
  *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
  *sorted((ROOT / "docs").glob("*.md")),
]
SOURCES = [
  *sorted((ROOT / "milan_jax").rglob("*.py")),
  *sorted((ROOT / "configs").glob("*.py")),
  *sorted((ROOT / "benchmarks").glob("*.py")),
]
# Its tables turn British spellings of descriptions into American ones.
EXEMPT = {ROOT / "milan_jax" / "_src" / "text" / "wording.py"}

# Each pattern with what to write instead.
PLAIN = {
  r"spoil(t|ed|s)": "corrupt, damaged",
  r"anew": "again",
  r"borne": "allowed",
  r"mend(s|ed|ing)?": "fix",
  r"of ours": "our, or milan-jax's",
  r"told by": "from, reported by",
  r"aside": "to a temporary file, separately",
  r"(?<!there\s)(is|are|was|were) no\b(?![\s#]*(longer|more|other|better))": "is not a",
  r"says that it|says so|tells that": "prints, reports",
  r"gone on with": "resumed",
  r"goes on where": "resumes",
  r"is said of": "describes",
  r"what (is|was) there": "the existing",
  r"all or nothing": "completely or not at all",
  r"lies? (beside|behind)": "is next to, follows",
  r"(stands?|stood) (beside|behind)": "is next to, follows",
  r"is known by": "is identified by",
}
AMERICAN = {
  r"\w*colour\w*": "color",
  r"gre(y|ys|yish|yscale)": "gray",
  r"\w*centre[ds]?": "center",
  r"licen[c]e\w*": "license",
  r"\w*(behavio|neighbo|favo|hono|labo)ur\w*": "-or",
  r"\w*(normal|initial|optim|minim|maxim|organ|recogn|serial|standard|summar|visual|"
  r"character|general|special|quant|token|lemmat|vector|regular)is(e|ed|es|er|ers|ing|"
  r"ation|ations)": "-ize",
  r"analyse[ds]?|analysing": "analyze",
  r"catalogue\w*": "catalog",
  r"(label|journal|model|cancel|travel)l(ed|ing)": "one l",
  r"artefacts?": "artifact",
  r"judgement\w*": "judgment",
  r"whilst|amongst": "while, among",
}
WORST = {
  # Two words may stand on two lines.
  re.compile(
    rf"(?<![\w.\"'])(?:{pattern})\b(?![\"'])".replace(" ", r"\s+(?:# )?"), re.IGNORECASE
  ): better
  for pattern, better in (PLAIN | AMERICAN).items()
}


def _faults(text: str) -> list[tuple[int, str, str]]:
  """Line, words and what is better, of each of the worst words."""
  return [
    (text.count("\n", 0, found.start()) + 1, " ".join(found.group().split()), better)
    for pattern, better in WORST.items()
    for found in pattern.finditer(text)
    # "there is no" may stand on two lines.
    if not re.search(r"\bthere\s+(# )?$", text[: found.start()], re.IGNORECASE)
  ]


@pytest.mark.parametrize("paths", [PAGES, SOURCES], ids=["pages", "sources"])
def test_the_worst_words_are_kept_out(paths):
  faults = [
    f"{path.relative_to(ROOT)}:{line}: {words!r}: better {better}"
    for path in paths
    if path not in EXEMPT
    for line, words, better in _faults(path.read_text())
  ]
  assert paths and not faults, "\n".join(faults)


@pytest.mark.parametrize(
  "words",
  ["The file is spoilt.", "It is no run of ours", "Grey colours", "normalised", "anew"],
)
def test_bad_words_are_found(words):
  assert _faults(words)


@pytest.mark.parametrize(
  "words",
  [
    "there is no layer",
    "it is no longer read",
    "otherwise",
    "aria-labelledby",
    "raise",
  ],
)
def test_good_words_are_not(words):
  assert not _faults(words)
