"""The captioner that ships: EfficientNet-Lite0's features, trained on the corpus.

    milan-corpus --images=FOLDER --workdir=runs/corpus
    python train.py --config=configs/starter.py --workdir=runs/starter

The release is `runs/starter/milan`. Times and scores are in docs/starter.md.
"""

from milan_jax import TrainOptions


def get_config() -> TrainOptions:
  """Returns the options of `train.py`."""
  return TrainOptions.of(
    exemplars="runs/corpus",
    workdir="runs/starter",
    encoder="efficientnet-lite0",
    encoder_layers="act0,blocks.0,blocks.2,blocks.4,blocks.7,blocks.10,blocks.15",
    # All components: the features are brought to one scale, and none is left out.
    projection="32,16,24,40,80,112,320",
    whitening=0.0,
    batch_size=128,
    lm_batch_size=256,
    learning_rate=1.5e-3,
    cosine_decay=True,
    hidden_size=256,
    embedding_size=96,
    lm_hidden_size=160,
    lm_embedding_size=96,
    # What 580 sources show of a thing is little: other draws of it are imitated, and
    # regions that do not belong, of which no real unit is free.
    feature_noise=0.4,
    resample_regions=True,
    stray_regions=0.2,
    max_epochs=24,
    stop_by="nll",
    patience=3,
    temperature=0.3,
    consensus=1.0,
    # Sentences end as sentences: mutual information rewards no ending, and no token
    # less likely than e^-7.5.
    floor=7.5,
    lm_stop=False,
    release_dtype="float16",
    about=(
      "Colors, edges, textures, animals, people, plants, food, vehicles, buildings, "
      "clothing, tools, their parts and materials, over EfficientNet-Lite0; trained on "
      "regions of photographs, cut-outs and textures. See docs/starter.md."
    ),
  )
