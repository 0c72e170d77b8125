"""The paper's sizes: ResNet-101 features, a state of 512, batches of 64 and 128.

    python train.py --config=configs/paper.py --config.data=base \
        --config.encoder_weights=resnet101.pth --workdir=runs/paper

The first three annotations of units with at least three (docs/milannotations.md). Not
run here: the human annotations' images may not be redistributed.
"""

from milan_jax import TrainOptions


def get_config() -> TrainOptions:
  """Returns the options of `train.py`."""
  return TrainOptions.of(
    workdir="runs/paper",
    encoder="resnet101",
    stop_by="bleu",
    order="random",
    min_annotations=3,
    max_annotations=3,
  )
