"""Vision models of Hugging Face's transformers. Needs `torch,transformers`."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import huggingface_hub
import torch
import transformers

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.images.sizes import size_from_sides
from milan_jax._src.probe.image_processor import read_preprocessing
from milan_jax._src.probe.layout import Layout
from milan_jax._src.probe.torch_module import TorchProbe

# The vision towers of models with text.
_TOWERS = {
  "clip": "CLIPVisionModel",
  "clip_vision_model": "CLIPVisionModel",
  "siglip": "SiglipVisionModel",
  "siglip_vision_model": "SiglipVisionModel",
}
# Number of leading tokens without registers: class and distillation tokens.
_SPECIAL = {
  **dict.fromkeys(("vit", "vit_mae", "vit_msn", "beit", "data2vec-vision"), 1),
  **dict.fromkeys(("dinov2", "dinov2_with_registers", "dinov3_vit"), 1),
  **dict.fromkeys(("clip", "clip_vision_model"), 1),
  **dict.fromkeys(("siglip", "siglip_vision_model", "swin", "swinv2", "ijepa"), 0),
  "deit": 2,
}
# Models with position embeddings for a single image size.
_FIXED_SIZE = ("vit", "deit", *_TOWERS)
_TIMEOUT_SECONDS = 10.0


def transformers_network(
  name: str,
  *,
  device: str = "cpu",
  layouts: Mapping[str, Layout] | None = None,
  before_clip: bool = True,
) -> tuple[TorchProbe, Preprocessing]:
  """Loads a vision model, or the vision tower of CLIP or SigLIP, and its preprocessing.

  A classifier keeps its head. The model runs in float32.

  Args:
    name: a folder with a model and image processor written by `save_pretrained`, or a
      name on the Hugging Face Hub. The local cache is used first; the Hub is not
      contacted if HF_HUB_OFFLINE is set.
    device: device to run on.
    layouts: layouts of layers by name or glob, which override the guess.
    before_clip: whether clipped activations are read before their upper clip.

  Returns:
    The probe, and the preprocessing of the model's image processor.

  Raises:
    UserError: if the model cannot be found or loaded, or its image processor is not
      supported.
  """
  if pathlib.Path(name).is_dir():
    model, processor = _load(name, local=True)
  else:
    model, processor = _load_from_hub(name)
  config: Any = model.config
  kind = config.model_type
  image_size = getattr(config, "image_size", None)
  if isinstance(image_size, list | tuple):
    image_size = size_from_sides(*image_size)
  preprocessing = read_preprocessing(processor, image_size)
  if kind in _FIXED_SIZE and preprocessing.crop != image_size:
    raise UserError(
      f"{name} takes images of {image_size} pixels, but its image processor resizes "
      f"them to {preprocessing.crop}: correct preprocessor_config.json."
    )
  if kind == "vit_mae":
    _show_all_patches(model)
  special = _SPECIAL.get(kind)
  if special is not None:
    special += getattr(config, "num_register_tokens", 0)
  probe = TorchProbe(
    model,
    preprocessing.crop,
    mean=preprocessing.mean,
    std=preprocessing.std,
    device=device,
    layouts=layouts,
    before_clip=before_clip,
    special=special,
  )
  return probe, preprocessing


def _show_all_patches(model: torch.nn.Module) -> None:
  """Makes a masked autoencoder use all patches in order, as in fine-tuning.

  By default it uses a random quarter of them in random order.
  """
  masked: Any = model
  masked.config.mask_ratio = 0.0

  def in_order(module: Any, given: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    number = module.patch_embeddings.num_patches
    # Patches are sorted by this noise.
    noise = torch.arange(number, device=given[0].device).expand(len(given[0]), -1)
    return given, {**keywords, "noise": noise}

  masked.embeddings.register_forward_pre_hook(in_order, with_kwargs=True)


def _load_from_hub(name: str) -> tuple[torch.nn.Module, Any]:
  try:
    return _load(name, local=True)
  except UserError as error:
    if huggingface_hub.constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE"):
      raise _unavailable(name, "HF_HUB_OFFLINE is set") from error
  try:
    # transformers would retry for minutes.
    huggingface_hub.HfApi().model_info(name, timeout=_TIMEOUT_SECONDS)
  except Exception as error:  # of several HTTP libraries, or an invalid name
    raise _unavailable(name, f"{type(error).__name__}: {error}") from error
  return _load(name, local=False)


def _unavailable(name: str, why: str) -> UserError:
  return UserError(
    f"{name!r} is neither a folder nor a model in the local cache of the Hugging Face "
    f"Hub, which cannot be reached ({why}). Run `hf download {name}` on a machine that "
    "can reach it and copy ~/.cache/huggingface here, or give the path of a folder "
    "with a model and image processor written by save_pretrained."
  )


def _load(name: str, *, local: bool) -> tuple[torch.nn.Module, Any]:
  options = {"local_files_only": local, "trust_remote_code": False}
  try:
    with _quiet():
      config = transformers.AutoConfig.from_pretrained(name, **options)
      processor = transformers.AutoImageProcessor.from_pretrained(name, **options)
      model, found = _kind(config).from_pretrained(
        name, dtype=torch.float32, output_loading_info=True, **options
      )
  except (OSError, ValueError, RuntimeError, ImportError) as error:
    message = " ".join(str(error).split())
    raise UserError(f"{name} cannot be read as a vision model: {message}") from error
  missing = sorted(found["missing_keys"])
  if missing and all(key.startswith("pooler.") for key in missing):
    model.pooler = None  # DINO has none, and a random one is meaningless
  elif missing:
    raise UserError(
      f"{name} lacks weights of a {type(model).__name__}, such as {missing[0]}: "
      "expected all that save_pretrained writes."
    )
  return model, processor


def _kind(config: Any) -> Any:
  """The class to load: the checkpoint's if a classifier, otherwise one without head."""
  architecture = (getattr(config, "architectures", None) or [""])[0]
  if config.model_type in _TOWERS:
    return getattr(transformers, _TOWERS[config.model_type])
  if "ForImageClassification" in architecture:
    return getattr(transformers, architecture, transformers.AutoModel)
  return transformers.AutoModel


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Suppresses progress bars and the report on unused weights of the text tower."""
  logging = transformers.utils.logging
  verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
  logging.set_verbosity_error()
  logging.disable_progress_bar()
  try:
    yield
  finally:
    logging.set_verbosity(verbosity)
    if bars:
      logging.enable_progress_bar()
