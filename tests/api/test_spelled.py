"""Parts of a release are spelled as earlier versions did, so that their runs resume."""

import dataclasses

from milan_jax._src.api.identity import _spelled
from milan_jax._src.models.confidence_model import EVIDENCE, ConfidenceSpec
from milan_jax._src.models.word_detectors import WordDetectorSpec
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.store.release import CaptionerSpec, EncoderSpec


def test_an_encoder_without_later_fields():
  spec = EncoderSpec("resnet18", ("layer1",), (0.5,) * 3, (0.25,) * 3, "none", 6)
  assert _spelled(spec) == (
    "EncoderSpec(backbone='resnet18', levels=('layer1',), mean=(0.5, 0.5, 0.5), "
    "std=(0.25, 0.25, 0.25), weights='none', projection=6)"
  )
  placed = dataclasses.replace(spec, pooling="placed")
  assert _spelled(placed) == _spelled(spec)[:-1] + ", pooling='placed')"


def test_a_confidence_of_the_earlier_evidence():
  spec = ConfidenceSpec((0.0,), (1.0,), (2.0,), -0.5, 0.25)
  assert _spelled(spec) == (
    "ConfidenceSpec(centers=(0.0,), scales=(1.0,), weights=(2.0,), bias=-0.5, "
    "threshold=0.25)"
  )
  assert "evidence=" in _spelled(dataclasses.replace(spec, evidence=EVIDENCE))


def test_a_decoding_and_what_is_no_later_part():
  assert _spelled(Decoding("beam", 15, 5)) == (
    "DecodingSpec(strategy='beam', length=15, beam_size=5, temperature=0.2, "
    "consensus=0.0, nothing=())"
  )
  assert _spelled(Decoding(floor=7.5)).endswith("nothing=(), floor=7.5)")
  assert _spelled(Decoding(coverage=2.0)).endswith("nothing=(), coverage=2.0)")
  captioner = CaptionerSpec(1, 2, 3, 4, 5, 0.5)
  assert _spelled(captioner) == repr(captioner)
  assert _spelled(None) == "None"
  assert _spelled(("a", "b")) == "('a', 'b')"


def test_detectors_of_one_hidden_layer():
  spec = WordDetectorSpec(("dog", "red"), 3)
  expected = "WordDetectorSpec(words=('dog', 'red'), hidden_size=3"
  assert _spelled(spec) == expected + ")"
  deeper = dataclasses.replace(spec, hidden_layers=2, members=4)
  assert _spelled(deeper) == expected + ", hidden_layers=2, members=4)"
