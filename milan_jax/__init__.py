"""Natural-language descriptions of the units of vision networks, in JAX.

    captioner = milan_jax.load("starter")
    network = milan_jax.probe(module, variables)
    exemplars = milan_jax.collect(network, "photos/", layers=["layer3"])
    for d in captioner.describe(exemplars):
      print(d.unit, d.text, d.confidence)

What `__all__` lists is public, here and nowhere else; everything in `milan_jax._src` is
private and may change at any time.
"""

from milan_jax._src.version import __version__

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from milan_jax._src.api.captioners import Captioner, load
  from milan_jax._src.api.describe_run import describe
  from milan_jax._src.api.pages import write_page
  from milan_jax._src.api.probing import collect, probe
  from milan_jax._src.api.runs import Run, open_run
  from milan_jax._src.api.stores import (
    from_regions,
    open_exemplars,
    open_features,
    write_original,
  )
  from milan_jax._src.api.training import train
  from milan_jax._src.decoding.attention import TextAttention
  from milan_jax._src.decoding.decoder import Decoder
  from milan_jax._src.decoding.region_encoder import RegionEncoder
  from milan_jax._src.decoding.scoring import TextScore
  from milan_jax._src.decoding.text_function import TokenLogProbs
  from milan_jax._src.decoding.text_search import TextMatch
  from milan_jax._src.errors import UserError
  from milan_jax._src.images.preprocessing import Preprocessing
  from milan_jax._src.images.source import ImageSource, UnreadableImageError
  from milan_jax._src.models.backbones import (
    backbone,
    backbone_names,
    params_from_state_dict,
  )
  from milan_jax._src.options.decoding import Decoding
  from milan_jax._src.options.describe import DecodingOptions, DescribeOptions
  from milan_jax._src.options.experiments import GeneralizeOptions, SweepOptions
  from milan_jax._src.options.train import TrainOptions
  from milan_jax._src.probe.model_options import Network
  from milan_jax._src.probe.protocol import Probe
  from milan_jax._src.records import (
    Description,
    Descriptions,
    ExemplarSet,
    LayerExemplars,
    LayerShape,
    Unit,
  )
  from milan_jax._src.store.feature_store import FeatureStore
  from milan_jax._src.store.milannotations_archive import fetch_annotated
  from milan_jax._src.store.milannotations_merge import merge_pictures
  from milan_jax._src.store.original_layout import merge_images
  from milan_jax._src.store.release import Release

# Where each public name comes from: it is imported when it is first used, since JAX
# takes time.
_PUBLIC = {
  # What one does.
  "load": "api.captioners",
  "probe": "api.probing",
  "collect": "api.probing",
  "describe": "api.describe_run",
  "train": "api.training",
  "from_regions": "api.stores",
  "open_exemplars": "api.stores",
  "open_run": "api.runs",
  "open_features": "api.stores",
  "write_original": "api.stores",
  "fetch_annotated": "store.milannotations_archive",
  "merge_images": "store.original_layout",
  "merge_pictures": "store.milannotations_merge",
  "write_page": "api.pages",
  "backbone": "models.backbones",
  "backbone_names": "models.backbones",
  "params_from_state_dict": "models.backbones",
  # What one gets and gives.
  "Captioner": "api.captioners",
  "Decoder": "decoding.decoder",
  "Decoding": "options.decoding",
  "DecodingOptions": "options.describe",
  "DescribeOptions": "options.describe",
  "Description": "records",
  "Descriptions": "records",
  "ExemplarSet": "records",
  "FeatureStore": "store.feature_store",
  "GeneralizeOptions": "options.experiments",
  "ImageSource": "images.source",
  "LayerExemplars": "records",
  "LayerShape": "records",
  "Network": "probe.model_options",
  "Preprocessing": "images.preprocessing",
  "Probe": "probe.protocol",
  "RegionEncoder": "decoding.region_encoder",
  "Release": "store.release",
  "Run": "api.runs",
  "SweepOptions": "options.experiments",
  "TextAttention": "decoding.attention",
  "TextMatch": "decoding.text_search",
  "TextScore": "decoding.scoring",
  "TokenLogProbs": "decoding.text_function",
  "TrainOptions": "options.train",
  "Unit": "records",
  "UnreadableImageError": "images.source",
  "UserError": "errors",
}

__all__ = [
  "Captioner",
  "Decoder",
  "Decoding",
  "DecodingOptions",
  "DescribeOptions",
  "Description",
  "Descriptions",
  "ExemplarSet",
  "FeatureStore",
  "GeneralizeOptions",
  "ImageSource",
  "LayerExemplars",
  "LayerShape",
  "Network",
  "Preprocessing",
  "Probe",
  "RegionEncoder",
  "Release",
  "Run",
  "SweepOptions",
  "TextAttention",
  "TextMatch",
  "TextScore",
  "TokenLogProbs",
  "TrainOptions",
  "Unit",
  "UnreadableImageError",
  "UserError",
  "__version__",
  "backbone",
  "backbone_names",
  "collect",
  "describe",
  "fetch_annotated",
  "from_regions",
  "load",
  "merge_images",
  "merge_pictures",
  "open_exemplars",
  "open_features",
  "open_run",
  "params_from_state_dict",
  "probe",
  "train",
  "write_original",
  "write_page",
]


def __getattr__(name: str) -> object:
  """Imports a public name when it is first used."""
  if name not in _PUBLIC:
    raise AttributeError(f"module 'milan_jax' has no attribute {name!r}")
  import importlib

  from milan_jax._src import notebook

  notebook.views = "milan_jax._src.api.notebooks"
  value = getattr(importlib.import_module(f"milan_jax._src.{_PUBLIC[name]}"), name)
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  return sorted(__all__)
