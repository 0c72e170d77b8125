"""A captioner that is ready to describe."""

import contextlib
import dataclasses
import functools
import numbers
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np
from jaxtyping import Array, Float, Int

from milan_jax._src.api.encoder_tables import encoder_difference, encoder_table
from milan_jax._src.api.exemplar_digests import digest_of
from milan_jax._src.api.identity import of_captioner, of_stored
from milan_jax._src.api.stores import check_exemplars, folder_to_write
from milan_jax._src.decoding.attention import TextAttention, TextReader
from milan_jax._src.decoding.confidence import knows_confidence
from milan_jax._src.decoding.decoder import Decoder, check_batch_size, check_decodes
from milan_jax._src.decoding.features import encode_exemplars, encode_in_memory
from milan_jax._src.decoding.region_encoder import (
  RegionEncoder,
  encoder_params,
  region_encoder,
)
from milan_jax._src.decoding.scoring import TextScore, TextScorer, check_texts
from milan_jax._src.decoding.search_memory import check_search_fits
from milan_jax._src.decoding.text_function import (
  TextFunction,
  TokenLogProbs,
  text_params,
)
from milan_jax._src.decoding.text_search import TextMatch, find_text
from milan_jax._src.decoding.unit_descriptions import describe_units, described_batches
from milan_jax._src.errors import UserError, arguments
from milan_jax._src.models.lowering import Rounding
from milan_jax._src.notebook import pairs
from milan_jax._src.options.decoding import Decoding, check_choice
from milan_jax._src.options.describe import DecodingOptions
from milan_jax._src.options.fields import values_of_group
from milan_jax._src.records import Descriptions, ExemplarSet, Unit
from milan_jax._src.runs.inputs import Tables
from milan_jax._src.runs.locks import hold
from milan_jax._src.runs.progress import bar, say
from milan_jax._src.runs.workdir import DESCRIPTIONS, FEATURES, open_workdir
from milan_jax._src.store.descriptions import Journal, write_descriptions
from milan_jax._src.store.feature_store import FeatureStore
from milan_jax._src.store.pretrained import load_milan
from milan_jax._src.store.release import Params, Release, save_release

# Decoders that a captioner keeps: each has weights of its own.
_DECODERS = 8


class Captioner:
  """Describes units from their exemplars, and scores given descriptions.

  Attributes:
    release: weights, vocabulary, decoding defaults and confidence.

  Example:
    >>> features = captioner.encode(exemplars, "features")
    >>> [d.unit.index for d in captioner.describe(features)][:3]
    [0, 1, 2]
  """

  def __init__(self, release: Release, *, encoder_precision: Rounding = "float32"):
    """Takes a release; `load` finds one by name.

    Args:
      release: the captioner.
      encoder_precision: how the products of its region encoder round.

    Raises:
      UserError: an argument is something else.
    """
    if not isinstance(release, Release):
      raise UserError(
        "release: expected a release; found a "
        f"{type(release).__name__}: milan_jax.load finds captioners by name."
      )
    check_choice("encoder_precision", get_args(Rounding), encoder_precision)
    self.release = release
    self._encoder_precision: Rounding = encoder_precision
    self._decoders: dict[tuple[Decoding, int], Decoder] = {}

  def __repr__(self) -> str:
    encoder, words = self.release.encoder, len(self.release.vocabulary)
    return (
      f"Captioner(encoder={encoder.backbone!r}, words={words}, "
      f"strategy={self.decoding.strategy!r})"
    )

  def _repr_html_(self) -> str:
    release = self.release
    facts = {
      "encoder": release.encoder.backbone,
      "words": f"{len(release.vocabulary):,}",
      "language model": "no" if release.language_model is None else "yes",
      "confidence": "no" if release.confidence is None else "yes",
      "decoding": self.decoding,
    }
    return str(pairs("Captioner", facts))

  @property
  def decoding(self) -> Decoding:
    """The release's decoding defaults."""
    return self.release.decoding

  @functools.cached_property
  def encoder_params(self) -> Params:
    """Parameters of its region encoder.

    Raises:
      UserError: they come in a package that is not installed.
    """
    params: Params = encoder_params(
      self.release.encoder,
      self.release.params.get("encoder"),
      remedy="name a captioner that includes its encoder's weights",
    )
    return params

  @functools.cached_property
  def encoder(self) -> RegionEncoder:
    """Its region encoder.

    Raises:
      UserError: its weights are missing, or its features are of another size.
    """
    encoder = region_encoder(
      self.release.encoder, self.encoder_params, rounding=self._encoder_precision
    )
    self.check_feature_size(encoder.feature_size)
    return encoder

  def resolve(self, options: DecodingOptions) -> Decoding:
    """The release's decoding defaults, overridden by what the options set.

    Raises:
      UserError: an option that the strategy would ignore, that the captioner cannot
        do, or that needs more memory than there is.
    """
    has_lm = self.release.language_model is not None
    decoding = options.resolve(self.decoding, language_model=has_lm)
    check_decodes(self.release, decoding, options.batch_size)
    check_search_fits(self.release, decoding, options.batch_size)
    return decoding

  def decoder(self, decoding: Decoding | None = None, batch_size: int = 64) -> Decoder:
    """A decoder over all devices; compiled when it is first used.

    The last eight decoders are kept.

    Args:
      decoding: how to decode; None for the defaults.
      batch_size: units decoded together.
    """
    key = self.decoding if decoding is None else decoding, batch_size
    if key not in self._decoders:
      self._decoders[key] = Decoder(self.release, key[0], batch_size=batch_size)
      if len(self._decoders) > _DECODERS:
        del self._decoders[next(iter(self._decoders))]
    return self._decoders[key]

  @functools.cached_property
  def _scorer(self) -> TextScorer:
    return TextScorer(self.release)

  @functools.cached_property
  def _reader(self) -> TextReader:
    return TextReader(self.release)

  def encode(
    self, exemplars: ExemplarSet, folder: str | os.PathLike[str] | None = None
  ) -> FeatureStore:
    """Encodes the regions of exemplars into features.

    Args:
      exemplars: what to encode.
      folder: the feature store to make or to finish; None keeps the features in memory
        alone.

    Returns:
      The features, which `describe` takes in place of the exemplars.

    Raises:
      UserError: the folder has features of other exemplars, or by another encoder.
    """
    check_exemplars(exemplars)
    encoder = self.encoder
    about = {"exemplars": digest_of(exemplars), "encoder": self._encoder_table}
    if folder is None:
      return encode_in_memory(
        encoder.encode,
        exemplars,
        feature_size=encoder.feature_size,
        pooling=encoder.pooling,
        about=about,
      )
    path = folder_to_write("folder", folder)
    with bar("features", "images") as show:
      return encode_exemplars(
        encoder.encode,
        exemplars,
        path,
        feature_size=encoder.feature_size,
        pooling=encoder.pooling,
        progress=show,
        about=about,
      )

  @arguments(milan="captioner")
  def describe(
    self,
    exemplars: ExemplarSet | FeatureStore,
    *,
    workdir: str | os.PathLike[str] | None = None,
    options: DecodingOptions | None = None,
  ) -> Descriptions:
    """Describes every unit of some exemplars.

    Args:
      exemplars: the units' exemplars, or their features.
      workdir: a run directory: features and descriptions are kept there, and the same
        call resumes a stopped one. None keeps nothing.
      options: how to decode; None takes the captioner's default.

    Returns:
      A list with a description per unit, in the order of the exemplars.

    Raises:
      UserError: the options do not fit the captioner, the features are another
        encoder's, or the workdir is of another run.

    Example:
      >>> descriptions = captioner.describe(exemplars)
      >>> len(descriptions), descriptions[0].unit
      (8, Unit(layer='conv2', index=0))
    """
    options = DecodingOptions() if options is None else options
    if not isinstance(options, DecodingOptions):
      raise UserError(
        "options: expected DecodingOptions, such as "
        "milan_jax.DecodingOptions(strategy='beam'); found a "
        f"{type(options).__name__}."
      )
    decoding = self.resolve(options)
    if workdir is None and isinstance(exemplars, FeatureStore):
      store = self._features(exemplars, pathlib.Path())
      batches = described_batches(
        self.decoder(decoding, options.batch_size),
        self._release_for(decoding),
        store,
        options.seed or 0,
      )
      described = Descriptions()
      with bar("descriptions", "units") as show:
        for batch in batches:
          described += batch
          show(len(described), len(store))
      return described
    with _folder(workdir) as folder:
      if workdir is not None:
        given = isinstance(exemplars, FeatureStore)
        inputs = of_captioner(self.release, None if given else self.encoder_params)
        identity = of_stored(inputs, exemplars, Tables(folder))
        open_workdir(folder, values_of_group(options), identity=identity)
      store = self._features(exemplars, folder / FEATURES)
      journal = self.describe_features(store, folder, decoding, options)
      if workdir is not None:
        write_descriptions(folder / DESCRIPTIONS, journal)
      found = None if isinstance(exemplars, FeatureStore) else exemplars
      return Descriptions(journal, found)

  def describe_features(
    self,
    store: FeatureStore,
    folder: pathlib.Path,
    decoding: Decoding,
    options: DecodingOptions,
  ) -> Journal:
    """Describes units by their features, into the journal of a run directory.

    Args:
      store: the features.
      folder: the run directory.
      decoding: as `resolve` gives it.
      options: batch size and seed.
    """
    return describe_units(
      self.decoder(decoding, options.batch_size),
      self._release_for(decoding),
      store,
      folder,
      options.seed or 0,
    )

  def score(
    self,
    exemplars: ExemplarSet | FeatureStore,
    texts: Mapping[Unit, Sequence[str]],
    *,
    batch_size: int = 64,
  ) -> dict[Unit, list[TextScore]]:
    """Scores given descriptions of units (forced decoding).

    Args:
      exemplars: the units' exemplars, or their features.
      texts: descriptions of some of the units.
      batch_size: units scored together.

    Returns:
      Scores of each unit's texts, in their order.

    Raises:
      UserError: a unit has no exemplars or a sign other than on and off, a text is
        empty, or spaCy is not installed.
    """
    check_texts(texts)  # before encoding, which takes most of the time
    check_batch_size(batch_size)
    with _folder(None) as folder:
      store = self._features(exemplars, folder / FEATURES)
      return self._scorer(store, texts, batch_size=batch_size)

  def attend(
    self, exemplars: ExemplarSet | FeatureStore, texts: Mapping[Unit, Sequence[str]]
  ) -> dict[Unit, list[TextAttention]]:
    """Finds which regions the captioner attends to at each word of given descriptions.

    Args:
      exemplars: the units' exemplars, or their features.
      texts: descriptions of some of the units.

    Returns:
      The attention over the regions of each word, and its log-probabilities, of each
      unit's texts in their order.

    Raises:
      UserError: as for `score`.
    """
    check_texts(texts)
    return self._reader(self._in_memory(exemplars), texts)

  @functools.cached_property
  def _text_function(self) -> TextFunction:
    return TextFunction(self.release)

  @functools.cached_property
  def params(self) -> Params:
    """The parameters that `log_probs` takes, by model: those of its release."""
    return text_params(self.release)

  def tokens(self, texts: Sequence[str]) -> Int[np.ndarray, "texts length"]:
    """The ids of texts as `log_probs` takes them, each with its stop, then padding.

    Raises:
      UserError: there is no text, one is empty, or spaCy is not installed.
    """
    return self._text_function.tokens(texts)

  def log_probs(
    self,
    params: Mapping[str, Any],
    features: Float[Array | np.ndarray, "units k features"],
    tokens: Int[Array | np.ndarray, "units length"],
  ) -> TokenLogProbs:
    """The log-probabilities of one text of each unit: a pure function.

    It may be compiled, vectorized and differentiated with respect to parameters and
    features. Products are in full float32. Nothing is dropped out.

    Args:
      params: as `params`.
      features: features of each unit's regions, all of which count.
      tokens: as `tokens` returns them.

    Returns:
      log p(token | regions) and log p(token) of each token; their sums over the tokens
      are `log_prob` and `lm_log_prob` of `score`.

    Raises:
      UserError: the arrays are of other shapes.

    Example:
      >>> tokens = captioner.tokens(["red dots"] * len(features))
      >>> loss = lambda params: -captioner.log_probs(
      ...   params, features.read(0, len(features)), tokens
      ... ).log_probs.sum()
      >>> sorted(jax.grad(loss)(captioner.params))
      ['captioner', 'language_model']
    """
    return self._text_function(params, features, tokens)

  def find(
    self, exemplars: ExemplarSet | FeatureStore, text: str, *, top: int = 20
  ) -> list[TextMatch]:
    """Finds the units, and their regions, that a description fits best.

    Args:
      exemplars: the units' exemplars, or their features.
      text: the description.
      top: how many units to return at most.

    Returns:
      The best units, best first, by pointwise mutual information with the text. Units
      that never vary are left out.

    Raises:
      UserError: the text is empty, `top` is not positive, or spaCy is not installed.
    """
    if not isinstance(top, numbers.Integral) or top < 1:
      raise UserError(f"top: expected 1 or more; found {top}.")
    return find_text(self._scorer, self._in_memory(exemplars), text, top)

  def save(self, folder: str | os.PathLike[str]) -> None:
    """Writes the released format, which `load` reads; replaces one in the folder."""
    save_release(self.release, folder_to_write("folder", folder))

  def check_feature_size(self, feature_size: int) -> None:
    """Raises UserError if features of this size are another encoder's."""
    if feature_size != self.release.feature_size:
      raise UserError(
        f"The features are of size {feature_size}, and the captioner takes "
        f"{self.release.feature_size}: they are of another encoder."
      )

  def check_features(self, store: FeatureStore) -> None:
    """Raises UserError if features are another encoder's, as far as it is known."""
    self.check_feature_size(store.feature_size)
    found = store.about.get("encoder")
    others = encoder_difference(found, self._encoder_table) if found else ""
    if others:
      raise UserError(
        f"The features are of another encoder ({others}): encode the exemplars with "
        "this captioner."
      )

  @functools.cached_property
  def _encoder_table(self) -> dict[str, Any]:
    return encoder_table(self.release.encoder, self.release.params.get("encoder"))

  def _in_memory(self, exemplars: ExemplarSet | FeatureStore) -> FeatureStore:
    if not isinstance(exemplars, FeatureStore):
      return self.encode(exemplars)
    self.check_features(exemplars)
    return exemplars

  def _features(
    self, exemplars: ExemplarSet | FeatureStore, folder: pathlib.Path
  ) -> FeatureStore:
    if isinstance(exemplars, FeatureStore):
      self.check_features(exemplars)
      return exemplars
    return self.encode(exemplars, folder)

  def _release_for(self, decoding: Decoding) -> Release:
    """The release, without its confidence if that does not apply to a decoding."""
    release = self.release
    if release.confidence is None or knows_confidence(release, decoding):
      return release
    say("no confidence: it was calibrated for the captioner's default options")
    return dataclasses.replace(release, confidence=None)


def load(name: str | os.PathLike[str] = "starter") -> Captioner:
  """Loads a captioner.

  Args:
    name: `starter`, which comes with the package; a key of the official captioners
      (`base`, `imagenet`, ...), fetched the first time; or a released folder.

  Raises:
    UserError: there is no such captioner, or it is damaged.

  Example:
    >>> captioner = milan_jax.load("starter")
    >>> captioner.decoding.strategy
    'rerank'
  """
  if not isinstance(name, str | os.PathLike):
    raise UserError(
      f"load: expected a captioner's name or a folder; found a {type(name).__name__}."
    )
  return Captioner(load_milan(name))


@contextlib.contextmanager
def _folder(workdir: str | os.PathLike[str] | None) -> Iterator[pathlib.Path]:
  """The run directory, which no other process may use; or a temporary folder."""
  if workdir is not None:
    with hold(workdir) as folder:
      yield folder
    return
  with tempfile.TemporaryDirectory(prefix="milan-jax-") as folder:
    yield pathlib.Path(folder)
