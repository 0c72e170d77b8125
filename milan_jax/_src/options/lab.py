"""The options of `milan-corpus`, `milan-eval` and `milan-bench`."""

import dataclasses

from milan_jax._src.options.fields import Options, option


@dataclasses.dataclass(frozen=True, slots=True)
class CorpusOptions(Options):
  """Builds annotated regions of known meaning from photographs and packages."""

  workdir: str = option("runs/corpus", "folder to build the corpus in")
  images: str | None = option(None, "folder of photographs")
  packages: str = option(
    "runs/packages",
    "folder for the Debian packages that hold cut-outs, named photographs and "
    "textures, fetched through apt-get where they are not there; none: photographs "
    "alone, which makes a smaller corpus",
  )
  num_units: int = option(12000, "region sets to build", least=1)
  seed: int = option(0, "seed of every draw", least=0)


@dataclasses.dataclass(frozen=True, slots=True)
class BenchOptions(Options):
  """Measures decoding: ours, and in the same run the published way in torch."""

  compile_for: str | None = option(
    None,
    "compile for a device that this machine may lack, and run nothing: h100, h200, or "
    "a TPU topology such as v5e:2x2; compiles decoder, encoder and training steps",
  )
  programs: str | None = option(
    None,
    "with --compile_for: programs, comma-separated: decoder, encoder, captioner_step, "
    "language_model_step; default: all",
  )
  strategies: str | None = option(
    None,
    "search strategies, comma-separated: greedy, beam, rerank; default: greedy,rerank, "
    "and all three with --compile_for",
  )
  batches: str | None = option(
    None,
    "units decoded together; default: 1,16,64; with --compile_for: units, images or "
    "captions of one device; default: 64",
  )
  beams: str = option("50", "hypotheses per unit")
  lengths: str = option("15", "maximum tokens of a description")
  vocabs: str = option("5000", "tokens, specials included, of the random captioner")
  dtypes: str = option(
    "float32,bfloat16", "precisions, comma-separated: float32, tensorfloat32, bfloat16"
  )
  devices: str = option(
    "1", "devices a batch is spread over; on a CPU they are simulated"
  )
  cores: int = option(1, "cores for each contender; 0: all")
  rounds: int = option(3, "runs of each contender; the fastest counts")
  against: str = option(
    "auto",
    "other contenders: textbook, hoisted, compiled (hoisted by torch.compile), "
    "jax_beam (a textbook beam search in JAX over our step), ctranslate2 (with a "
    "transformer of equal arithmetic), or none; auto: the first two where torch is "
    "installed",
  )
  milan: str = option(
    "peaked",
    "captioner: peaked (random weights of the paper's sizes), a packaged or official "
    "key, or a released folder",
    remote=True,
  )
  features: str | None = option(
    None,
    "features for a captioner that is not peaked: the features folder of a run",
  )
  hidden_size: int = option(512, "size of the random models' states", least=1)
  json: str | None = option(None, "file for the rows; kept while the run goes on")
  plot: str | None = option(None, "PNG file for a plot")
  compare: str | None = option(None, "JSON file of an earlier run to compare with")


@dataclasses.dataclass(frozen=True, slots=True)
class EvalOptions(Options):
  """Tests a captioner on units whose truth is known."""

  workdir: str = option("runs/eval", "folder for everything that is written")
  milan: str = option(
    "starter",
    "captioner: a packaged or official key, or a released folder",
    remote=True,
  )
  images: str | None = option(
    None,
    "folder of photographs, named as n01440764_tench.jpg for the test of classes; "
    "those that the captioner was trained on are skipped",
  )
  corpus: str | None = option(
    None, "folder that milan-corpus built, for its held-out region sets"
  )
  corpus_features: str | None = option(
    None,
    "features folder of the run that trained on the corpus, for the nearest neighbor",
  )
  tests: str | None = option(
    None,
    "tests, comma-separated: planted, classes, stem, hand_built, vgg16, lite0, "
    "negatives; default: all",
  )
  json: str | None = option(None, "file for the figures")
  plot: str | None = option(
    None, "PNG file for a plot of confidence against correctness"
  )
  page: bool = option(True, "write the page misses/index.html, with every miss")
  seed: int = option(0, "seed of lettering and of the regions of nothing", least=0)


@dataclasses.dataclass(frozen=True, slots=True)
class ConvertOptions(Options):
  """Converts an official checkpoint: CHECKPOINT OUT_DIR; or writes one (--official)."""

  official: bool = option(
    False,
    "the other way round: CAPTIONER CHECKPOINT; writes a captioner (a released folder "
    "or a key) as an official checkpoint (.pth), which the original loads",
  )
