import numpy as np
import pytest
import torch
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.images.geometry import INTERPOLATIONS, Geometry, fit
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.probe.default_layers import default_layers

transformers = pytest.importorskip("transformers")

from milan_jax._src.probe.image_processor import read_preprocessing  # noqa: E402
from milan_jax._src.probe.transformers_model import transformers_network  # noqa: E402
from milan_jax._src.probe.trial_report import try_layers  # noqa: E402
from milan_jax._src.probe.white_square import Order  # noqa: E402

TINY = {
  "hidden_size": 16,
  "num_hidden_layers": 6,
  "num_attention_heads": 2,
  "intermediate_size": 24,
  "image_size": 32,
  "patch_size": 8,
}
TEXT = {
  "hidden_size": 16,
  "num_hidden_layers": 1,
  "num_attention_heads": 2,
  "intermediate_size": 16,
  "vocab_size": 50,
  "max_position_embeddings": 8,
  "bos_token_id": 0,
  "eos_token_id": 1,
}
SQUARE = {"height": 32, "width": 32}
SWIN = {
  "image_size": 32,
  "patch_size": 2,
  "window_size": 4,
  "embed_dim": 8,
  "depths": [1, 2],
  "num_heads": [1, 2],
}
STAGES = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 2, 1]}


def processor(kind, **options):
  # The processor that uses Pillow, as milan-jax does, if there are two.
  ours = getattr(transformers, f"{kind}ImageProcessorPil", None)
  return (ours or getattr(transformers, f"{kind}ImageProcessor"))(**options)


def save(folder, kind, options, processor):
  torch.manual_seed(0)
  cls = getattr(transformers, kind)
  model = cls(cls.config_class(**options)).eval()
  model.save_pretrained(folder)
  processor.save_pretrained(folder)
  return model


@pytest.fixture(scope="module")
def picture():
  rng = np.random.default_rng(0)
  coarse = rng.integers(0, 256, (10, 14, 3), np.uint8)
  return Image.fromarray(coarse).resize((140, 100), Image.Resampling.BICUBIC)


def prepare(picture, how):
  """Prepares a picture with milan-jax."""
  if how.squash:
    picture = picture.resize((how.resize,) * 2, INTERPOLATIONS[how.interpolation])
  pixels = fit(picture, Geometry(how.resize, how.crop, how.interpolation))
  return (pixels - np.float32(how.mean)) / np.float32(how.std)


PROCESSORS = {
  "vit": processor("ViT", size=SQUARE),
  "deit": processor("DeiT", size={"height": 36, "width": 36}, crop_size=SQUARE),
  "clip": processor("CLIP", size={"shortest_edge": 40}, crop_size=SQUARE),
  "dinov2": processor(
    "Bit",
    size={"shortest_edge": 36},
    crop_size=SQUARE,
    image_mean=[0.485, 0.456, 0.406],
    image_std=[0.229, 0.224, 0.225],
  ),
  "siglip": processor("Siglip", size=SQUARE),
  "convnext": processor("ConvNext", size={"shortest_edge": 32}, crop_pct=0.8),
  "convnext, large": processor("ConvNext", size={"shortest_edge": 384}),
  "raw": processor("ViT", size=SQUARE, do_rescale=False, do_normalize=False),
  "from 0 to 1": processor("ViT", size=SQUARE, do_normalize=False, resample=3),
  "only cropped": processor("CLIP", do_resize=False, crop_size=SQUARE),
  "levit": processor("Levit", size={"shortest_edge": 35}, crop_size=SQUARE),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_are_those_of_the_processor(name, picture):
  own = PROCESSORS[name]
  want = own(images=picture, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
  how = read_preprocessing(own, 32)
  found = prepare(picture, how)
  assert found.shape == want.shape == (how.crop, how.crop, 3)
  step = 1 / np.array(how.std)  # one of 255 levels, on the normalized scale
  assert (np.abs(found - want) / step[None, None]).max() < 1e-3


def test_an_odd_margin_may_move_the_crop_by_a_pixel():
  # With 109 or 111 extra pixels, transformers crops 54 or 55 on the left; milan-jax
  # crops 54 or 56 like torchvision, which rounds halves to even.
  for width, moved in ((141, 0), (143, 1)):
    columns = np.arange(width, dtype=np.uint8)
    picture = Image.fromarray(np.tile(columns[None, :, None], (32, 1, 3)))
    own = processor(
      "CLIP", size={"shortest_edge": 32}, crop_size=SQUARE, do_normalize=False
    )
    want = 255 * own(images=picture, return_tensors="np")["pixel_values"][0]
    found = prepare(picture, read_preprocessing(own, 32)) * 255
    assert np.round(found[0, 0, 0] - want[0, 0, 0]) == moved


@pytest.mark.parametrize(
  ("kind", "options", "message"),
  [
    # It swaps red and blue.
    (
      "MobileViT",
      {"size": {"shortest_edge": 36}, "crop_size": SQUARE},
      "its pixels differ by up to 1.. of 255 levels",
    ),
    # It divides by the std twice.
    ("EfficientNet", {"size": SQUARE, "resample": 3}, "its pixels differ by up to"),
    # It adds bars to oblong pictures.
    ("Donut", {"size": SQUARE}, "its pixels differ by up to"),
    # It has no size.
    ("GLPN", {}, "AttributeError"),
    ("Siglip2", {}, "AttributeError"),
  ],
)
def test_processors_that_do_more_than_their_options_say(kind, options, message):
  with pytest.raises(UserError, match=rf"as {kind}ImageProcessor\w* does \({message}"):
    read_preprocessing(processor(kind, **options), 32)


def test_the_words_of_a_processor():
  how = read_preprocessing(PROCESSORS["convnext"], None)
  assert how == Preprocessing(
    40, 32, "bicubic", (127.5,) * 3, (127.5,) * 3, squash=False
  )
  how = read_preprocessing(PROCESSORS["deit"], None)
  assert (how.resize, how.crop, how.squash) == (36, 32, True)
  how = read_preprocessing(PROCESSORS["raw"], None)
  assert (how.interpolation, how.mean, how.std) == ("bilinear", (0.0,) * 3, (1.0,) * 3)
  whole = processor("Bit", size={"shortest_edge": 36}, do_center_crop=False)
  assert read_preprocessing(whole, 224).crop == 36
  oblong = {"height": 32, "width": 48}
  how = read_preprocessing(processor("ViT", size=oblong), 32)
  assert (how.resize, how.crop, how.squash) == ((32, 48), (32, 48), True)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"size": SQUARE, "resample": 1}, "resample=1"),
    ({"size": {"shortest_edge": 32, "longest_edge": 64}}, "size="),
    (
      {"size": SQUARE, "do_center_crop": True, "crop_size": {"height": 9, "width": 33}},
      "crop of \\(9, 33\\) from a size of 32",
    ),
    (
      {
        "size": SQUARE,
        "do_center_crop": True,
        "crop_size": {"height": 48, "width": 48},
      },
      "a crop of 48 from a size of 32",
    ),
  ],
)
def test_processors_that_cannot_be_followed(options, message):
  with pytest.raises(UserError, match=rf"as ViTImageProcessor\w* does .*{message}"):
    read_preprocessing(processor("ViT", **options), 32)


@pytest.mark.parametrize(
  ("kind", "options", "how", "layer", "special"),
  [
    ("ViTForImageClassification", TINY, "vit", "vit.layers.4.mlp.fc1", 1),
    ("Dinov2Model", TINY, "dinov2", "encoder.layer.4.mlp.fc1", 1),
    (
      "Dinov2WithRegistersModel",
      # Nine such tokens and sixteen patches are also a square number.
      TINY | {"num_register_tokens": 8},
      "dinov2",
      "encoder.layer.4.mlp.fc1",
      9,
    ),
    (
      "DeiTForImageClassificationWithTeacher",
      TINY,
      "deit",
      "deit.layers.4.mlp.fc1",
      2,
    ),
    ("CLIPVisionModel", TINY, "clip", "encoder.layers.4.mlp.fc1", 1),
    ("SiglipVisionModel", TINY, "siglip", "encoder.layers.4.mlp.fc1", 0),
    (
      "ConvNextForImageClassification",
      STAGES,
      "convnext",
      "convnext.encoder.stages.2",
      None,
    ),
    (
      "ResNetForImageClassification",
      STAGES | {"embedding_size": 8},
      "convnext",
      "resnet.encoder.stages.2",
      None,
    ),
    (
      "SwinModel",
      SWIN,
      "vit",
      "encoder.layers.1.blocks.1",
      0,
    ),
  ],
)
def test_models_in_a_folder(
  kind, options, how, layer, special, tmp_path, picture, monkeypatch
):
  # The Hub is not contacted.
  monkeypatch.setattr("huggingface_hub.HfApi.model_info", None)
  model = save(tmp_path, kind, options, PROCESSORS[how])
  probe, preprocessing = transformers_network(str(tmp_path))
  assert probe.image_size == preprocessing.crop == 32
  shapes = {shape.name: shape for shape in probe.layers()}
  assert layer in default_layers(probe.layers())

  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (2, 32, 32, 3), np.uint8)
  found = probe.activations(images, (layer,))[layer]
  kept = []
  module = model.get_submodule(layer)
  module.register_forward_hook(lambda module, inputs, output: kept.append(output))
  mean, std = np.float32(preprocessing.mean), np.float32(preprocessing.std)
  pixels = torch.from_numpy((images - mean) / std).permute(0, 3, 1, 2)
  with torch.no_grad():
    model(pixels)
  want = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
  want = want.numpy()
  if special is None:
    want = want.transpose(0, 2, 3, 1)
  else:
    assert shapes[layer].layout == str(f"NLC:special={special}" if special else "NLC")
    patches = want[:, special:]
    side = int(patches.shape[1] ** 0.5)
    want = patches.reshape(2, side, side, -1)
  np.testing.assert_allclose(found, want, atol=1e-5)

  # All layers have the intended layout, and depend on one image only.
  tried = try_layers(probe, tuple(shapes), batch_size=8)
  assert not tried.failure
  assert not tried.differences
  assert not tried.dropped
  orders = set(tried.layout_check.orders.values())
  assert Order.FOLLOWS in orders
  assert Order.ELSEWHERE not in orders
  if not kind.startswith(
    "ConvNext"
  ):  # with cubes of 8 x 8 x 8, whose axes are ambiguous
    assert not probe.readings.corrected


@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_the_part_that_sees_of_a_model_that_reads_too(kind, tmp_path):
  options = {"vision_config": TINY, "text_config": TEXT}
  model = save(tmp_path, f"{kind}Model", options, PROCESSORS[kind.lower()])
  probe, _ = transformers_network(str(tmp_path))
  layer = "encoder.layers.4.mlp.fc1"
  images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
  found = probe.activations(images, (layer,))[layer]
  kept = []
  module = model.vision_model.get_submodule(layer)
  module.register_forward_hook(lambda module, inputs, output: kept.append(output))
  how = PROCESSORS[kind.lower()]
  mean, std = np.float32(how.image_mean), np.float32(how.image_std)
  pixels = torch.from_numpy((images / np.float32(255) - mean) / std)
  with torch.no_grad():
    model.vision_model(pixels.permute(0, 3, 1, 2))
  want = kept[0].numpy()[:, -16:].reshape(2, 4, 4, 24)
  np.testing.assert_allclose(found, want, atol=1e-4)


def test_a_pooler_without_weights_is_left_out(tmp_path):
  model = transformers.ViTModel(transformers.ViTConfig(**TINY), add_pooling_layer=False)
  model.save_pretrained(tmp_path)
  PROCESSORS["vit"].save_pretrained(tmp_path)
  probe, _ = transformers_network(str(tmp_path))
  names = {shape.name for shape in probe.layers()}
  assert "layers.5.mlp.fc1" in names
  assert not any(name.startswith("pooler") for name in names)


def test_folders_that_are_no_models(tmp_path):
  with pytest.raises(UserError, match="cannot be read as a vision model"):
    transformers_network(str(tmp_path))
  model = transformers.ViTModel(transformers.ViTConfig(**TINY))
  model.save_pretrained(tmp_path)
  with pytest.raises(UserError, match=r"preprocessor_config\.json"):
    transformers_network(str(tmp_path))
  big = {"height": 48, "width": 48}
  processor("ViT", size=big).save_pretrained(tmp_path)
  with pytest.raises(UserError, match=r"images of 32 pixels.* resizes them to 48"):
    transformers_network(str(tmp_path))
  weights = {
    name: array
    for name, array in model.state_dict().items()
    if name != "layers.2.mlp.fc1.weight"
  }
  model.save_pretrained(tmp_path, state_dict=weights)
  with pytest.raises(
    UserError, match=r"lacks weights of a ViTModel, such as layers\.2"
  ):
    transformers_network(str(tmp_path))


def test_names_that_cannot_be_had(monkeypatch):
  import huggingface_hub

  # A port without a server.
  monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
  with pytest.raises(
    UserError, match=r"neither a folder.*cannot be reached.*hf download no/one"
  ):
    transformers_network("no/one")
  monkeypatch.setenv("HF_HUB_OFFLINE", "1")
  with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
    transformers_network("no/one")


def test_a_masked_autoencoder_sees_all_patches_in_their_places(tmp_path):
  model = save(tmp_path, "ViTMAEModel", TINY, PROCESSORS["vit"])
  probe, preprocessing = transformers_network(str(tmp_path))
  layers = ("embeddings", "layers.4.mlp.fc1")
  assert layers[1] in default_layers(probe.layers())
  images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
  first, second = (probe.activations(images, layers) for _ in range(2))
  for layer in layers:
    np.testing.assert_array_equal(first[layer], second[layer])
  # Each patch separately, before masking.
  mean, std = np.float32(preprocessing.mean), np.float32(preprocessing.std)
  pixels = torch.from_numpy((images - mean) / std).permute(0, 3, 1, 2)
  embeddings = model.embeddings
  with torch.no_grad():
    want = embeddings.patch_embeddings(pixels) + embeddings.position_embeddings[:, 1:]
  want = want.numpy().reshape(2, 4, 4, 16)
  np.testing.assert_allclose(first["embeddings"], want, atol=1e-5)


HIERA = {
  "embed_dim": 8,
  "image_size": [64, 64],
  "depths": [1, 1, 1, 1],
  "num_heads": [1, 1, 2, 2],
  "mlp_ratio": 2.0,
}
YOLOS = TINY | {"num_hidden_layers": 3, "image_size": [64, 64]}


@pytest.mark.parametrize(
  ("kind", "options", "layer", "layout"),
  [
    ("HieraModel", HIERA, "encoder.stages.0", "NLC:unroll=3"),
    ("HieraModel", HIERA, "encoder.stages.1", "NLC:unroll=2"),
    (
      "YolosModel",
      YOLOS | {"num_detection_tokens": 5},
      "encoder.layer.1",
      "NLC:special=1:after=5",
    ),
    (
      "YolosModel",
      YOLOS | {"num_detection_tokens": 9},
      "encoder.layer.1.intermediate.dense",
      "NLC:special=1:after=9",
    ),
  ],
)
def test_places_in_an_order_of_the_models_own(kind, options, layer, layout, tmp_path):
  side = {"height": 64, "width": 64}
  save(tmp_path, kind, options, processor("ViT", size=side))
  probe, _ = transformers_network(str(tmp_path))
  shapes = {shape.name: shape for shape in probe.layers()}
  assert shapes[layer].layout == layout
  gray = np.full((1, 64, 64, 3), 128, np.uint8)
  corners = ((0, 0), (0, 56), (24, 8), (40, 8), (8, 48))
  images = np.repeat(gray, 1 + len(corners), axis=0)
  for image, (row, column) in zip(images[1:], corners, strict=True):
    image[row : row + 8, column : column + 8] = 255
  found = probe.activations(images, (layer,))[layer]
  for seen, (row, column) in zip(found[1:], corners, strict=True):
    change = abs(seen - found[0]).sum(-1)
    place = np.unravel_index(change.argmax(), change.shape)
    middle = (np.array(place) + 0.5) * 64 / len(change)
    assert np.abs(middle - (row + 4, column + 4)).max() <= 8
