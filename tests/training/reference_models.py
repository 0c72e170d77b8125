"""The tiny models whose training the reference recorded."""

from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.language_model import LanguageModel
from milan_jax._src.weights import state_dicts
from tests.helpers.recorded import CHECKPOINT, arrays_and_strings

START, PAD, VOCAB = 424, 426, 428
CAPTIONER = Captioner(VOCAB, feature_size=1024, hidden_size=64, embedding_size=32)
LANGUAGE_MODEL = LanguageModel(VOCAB, hidden_size=48, embedding_size=32, pad_id=PAD)


def training_reference():
  """Reads the recorded numbers and the names that go with them."""
  arrays, names = arrays_and_strings("training")
  features = arrays_and_strings("decoding")[0]["features"]
  return arrays | {"features": features[arrays["unit"]]}, names


def weights():
  """Reads the recorded initial weights by the original's names."""
  return state_dicts.read_state_dict(CHECKPOINT)


def _linear(tensors, name):
  return {"kernel": tensors[f"{name}.weight"].T, "bias": tensors[f"{name}.bias"]}


def _lstm(tensors, name, layer=""):
  return {
    "input_kernel": tensors[f"{name}.weight_ih{layer}"].T,
    "hidden_kernel": tensors[f"{name}.weight_hh{layer}"].T,
    "input_bias": tensors[f"{name}.bias_ih{layer}"],
    "hidden_bias": tensors[f"{name}.bias_hh{layer}"],
  }


def captioner_params(tensors):
  """Arranges weights, or gradients, of the captioner as ours."""
  return {
    "init_hidden": _linear(tensors, "init_h.0"),
    "init_cell": _linear(tensors, "init_c.0"),
    "embedding": {"embedding": tensors["embedding.weight"]},
    "attention": {
      "query": _linear(tensors, "attend.query_to_hidden"),
      "key": _linear(tensors, "attend.key_to_hidden"),
      "output": _linear(tensors, "attend.output.0"),
    },
    "gate": _linear(tensors, "feature_gate.0"),
    "lstm": _lstm(tensors, "lstm"),
    "output": _linear(tensors, "output.1"),
  }


def language_model_params(tensors):
  """Arranges weights, or gradient norms, of the language model as ours."""
  return {
    "embedding": {"embedding": tensors["embedding.weight"]},
    "lstm_0": _lstm(tensors, "lstm", "_l0"),
    "lstm_1": _lstm(tensors, "lstm", "_l1"),
    "output": _linear(tensors, "output.0"),
  }


def recorded_gradients(found):
  """Arranges the captioner's gradients as they are recorded, by the original's names.

  The largest gradient is recorded as its norm alone, others in every 4th feature. The
  bias of the regions' energies is left out: the softmax ignores it.
  """
  attention, lstm = found["attention"], found["lstm"]
  return {
    "lstm.weight_hh": lstm["hidden_kernel"].T,
    "lstm.bias_ih": lstm["input_bias"],
    "lstm.bias_hh": lstm["hidden_bias"],
    "init_h.0.weight": found["init_hidden"]["kernel"][::4].T,
    "init_h.0.bias": found["init_hidden"]["bias"],
    "init_c.0.weight": found["init_cell"]["kernel"][::4].T,
    "init_c.0.bias": found["init_cell"]["bias"],
    "embedding.weight": found["embedding"]["embedding"],
    "attend.query_to_hidden.weight": attention["query"]["kernel"].T,
    "attend.query_to_hidden.bias": attention["query"]["bias"],
    "attend.key_to_hidden.weight": attention["key"]["kernel"][::4].T,
    "attend.key_to_hidden.bias": attention["key"]["bias"],
    "attend.output.0.weight": attention["output"]["kernel"].T,
    "feature_gate.0.weight": found["gate"]["kernel"][:, ::4].T,
    "feature_gate.0.bias": found["gate"]["bias"],
    "output.1.weight": found["output"]["kernel"].T,
    "output.1.bias": found["output"]["bias"],
  }
