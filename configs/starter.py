"""The starter captioner: colours, edges and textures over EfficientNet-Lite0.

    milan-corpus --images=FOLDER --workdir=runs/corpus
    python train.py --config=configs/starter.py --workdir=runs/starter

The release is `runs/starter/milan`. Times and scores are in docs/starter.md.
"""

from milan_jax.config import Train


def get_config() -> Train:
  """Returns the options of `train.py`."""
  return Train(
    exemplars="runs/corpus",
    workdir="runs/starter",
    encoder="efficientnet-lite0",
    encoder_layers="act0,blocks.0,blocks.2,blocks.4,blocks.7,blocks.10,blocks.15",
    hidden_size=192,
    embedding_size=64,
    lm_hidden_size=128,
    lm_embedding_size=64,
    max_epochs=40,
    temperature=0.15,
    about=(
      "Colours, brightness, edges and textures over EfficientNet-Lite0, trained on "
      "regions computed from 500 photographs, one of each second ImageNet class; "
      "knows no objects. See docs/starter.md."
    ),
  )
