"""Vision models of Hugging Face's transformers, an extra, as torch runs them."""

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

# The part that sees, of models that read as well.
_TOWERS = {
  "clip": "CLIPVisionModel",
  "clip_vision_model": "CLIPVisionModel",
  "siglip": "SiglipVisionModel",
  "siglip_vision_model": "SiglipVisionModel",
}
# Tokens in front of the patches, beside registers: of the class, of distillation.
_SPECIAL = {
  **dict.fromkeys(("vit", "vit_mae", "vit_msn", "beit", "data2vec-vision"), 1),
  **dict.fromkeys(("dinov2", "dinov2_with_registers", "dinov3_vit"), 1),
  **dict.fromkeys(("clip", "clip_vision_model"), 1),
  **dict.fromkeys(("siglip", "siglip_vision_model", "swin", "swinv2", "ijepa"), 0),
  "deit": 2,
}
# Their positions are for one size of image.
_OF_ONE_SIZE = ("vit", "deit", *_TOWERS)
_SECONDS = 10.0


def transformers_network(
  name: str,
  *,
  device: str = "cpu",
  layouts: Mapping[str, Layout] | None = None,
  before_clip: bool = True,
) -> tuple[TorchProbe, Preprocessing]:
  """Loads a vision model, or the part of a CLIP or SigLIP that sees, and how it sees.

  A classifier keeps its head. Weights are run in 32 bits.

  Args:
    name: a folder that `save_pretrained` wrote model and image processor to, or a name
      on the Hugging Face Hub. What is in the local cache is not asked for again; the
      Hub is not asked at all if HF_HUB_OFFLINE is set.
    device: where the model runs.
    layouts: of layers by name or glob, where the guess would be wrong.
    before_clip: whether clipped activations are read before their upper clip.

  Returns:
    The probe, and how its images are to be prepared: as its own processor does.

  Raises:
    UserError: if the model cannot be had or read, or prepares its images in a way that
      a square of pixels cannot follow.
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
  if kind in _OF_ONE_SIZE and preprocessing.crop != image_size:
    raise UserError(
      f"{name} takes images of {image_size} pixels, and its image processor makes them "
      f"{preprocessing.crop}: correct preprocessor_config.json."
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
  """Lets a masked autoencoder see every patch, in its place, as in fine-tuning.

  By itself it takes a quarter of them at random, in random order, at every pass.
  """
  masked: Any = model
  masked.config.mask_ratio = 0.0

  def in_order(module: Any, given: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    number = module.patch_embeddings.num_patches
    # Patches are sorted by it.
    noise = torch.arange(number, device=given[0].device).expand(len(given[0]), -1)
    return given, {**keywords, "noise": noise}

  masked.embeddings.register_forward_pre_hook(in_order, with_kwargs=True)


def _load_from_hub(name: str) -> tuple[torch.nn.Module, Any]:
  try:
    return _load(name, local=True)
  except UserError as error:
    if huggingface_hub.constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE"):
      raise _not_had(name, "HF_HUB_OFFLINE is set") from error
  try:
    # transformers would try again for minutes.
    huggingface_hub.HfApi().model_info(name, timeout=_SECONDS)
  except Exception as error:  # of several HTTP libraries, or of the name
    raise _not_had(name, f"{type(error).__name__}: {error}") from error
  return _load(name, local=False)


def _not_had(name: str, why: str) -> UserError:
  return UserError(
    f"{name!r} is not a folder, nor a model in the local cache of the Hugging "
    f"Face Hub, which cannot be asked ({why}). Where it can be, run "
    f"`hf download {name}`, and copy ~/.cache/huggingface here, or give the path of a "
    "folder that save_pretrained wrote model and image processor to."
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
    model.pooler = None  # DINO has none, and a random one says nothing
  elif missing:
    raise UserError(
      f"{name} lacks weights of a {type(model).__name__}, such as {missing[0]}: "
      "expected all that save_pretrained writes."
    )
  return model, processor


def _kind(config: Any) -> Any:
  """The class to load: that of the weights where it classifies, else without a head."""
  architecture = (getattr(config, "architectures", None) or [""])[0]
  if config.model_type in _TOWERS:
    return getattr(transformers, _TOWERS[config.model_type])
  if "ForImageClassification" in architecture:
    return getattr(transformers, architecture, transformers.AutoModel)
  return transformers.AutoModel


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Keeps back the report on weights that are of the part that reads, and bars."""
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
