"""The captioner that ships: EfficientNet-Lite0's features of corpus and real units.

    milan-corpus --images=FOLDER --workdir=runs/corpus
    python -m milan_jax._src.lab.annotation.annotated_networks --images=SEEN \
        --tail=both --workdir=runs/networks
    python -m milan_jax._src.lab.annotation.training_sets runs/networks/*/exemplars
    python -m milan_jax._src.lab.annotation.shuffled_units \
        runs/networks/{lite0,lite1,lite2,mobilenet,inception}/exemplars
    python train.py --config=configs/starter.py --workdir=runs/starter

SEEN is a folder of the photographs that the corpus does not test on (`manifest.json`
lists the parts). The release is `runs/starter/milan`. Times and scores are in
docs/starter.md.
"""

from milan_jax import TrainOptions

NETWORKS = ("lite0", "lite1", "lite2", "mobilenet", "inception", "vgg16")


def get_config() -> TrainOptions:
  """Returns the options of `train.py`."""
  return TrainOptions.of(
    exemplars=",".join(
      (
        *("runs/corpus", "runs/shuffled"),
        *(f"runs/networks/{name}/exemplars" for name in NETWORKS),
      )
    ),
    # A quarter of an epoch's captions are of the 12,000 units of the corpus, the others
    # of the annotated units and of 600 whose regions have nothing in common.
    repeat=",".join(("1", "4", *("4" for _ in NETWORKS))),
    workdir="runs/starter",
    encoder="efficientnet-lite0",
    encoder_layers="act0,blocks.0,blocks.2,blocks.4,blocks.7,blocks.10,blocks.15",
    # All components: the features are brought to one scale, and none is left out.
    pooling="placed",
    projection="32,16,24,40,80,112,320,11",
    whitening=0.0,
    batch_size=128,
    lm_batch_size=256,
    learning_rate=1.5e-3,
    cosine_decay=True,
    hidden_size=256,
    embedding_size=96,
    lm_hidden_size=160,
    lm_embedding_size=96,
    # What few sources show of a thing is little: other draws of it are imitated, and
    # regions that do not belong, of which no real unit is free.
    feature_noise=0.4,
    resample_regions=True,
    stray_regions=0.2,
    max_epochs=12,
    stop_by="nll",
    patience=3,
    temperature=0.3,
    consensus=1.0,
    # Detectors check each word, so that what half of the regions show is not said.
    word_weight=6.0,
    word_hidden_layers=2,
    word_members=2,
    word_dropout=0.3,
    # Words that the detectors are nearly sure of are said.
    coverage=8.0,
    # Sentences end as sentences: mutual information rewards no ending, and no token
    # less likely than e^-7.5.
    floor=7.5,
    lm_stop=False,
    repeats=False,
    release_dtype="float16",
    about=(
      "Colors, edges, textures, animals, people, plants, food, vehicles, buildings, "
      "clothing, tools, their parts and materials, over EfficientNet-Lite0; trained on "
      "regions of photographs, cut-outs and textures, and on described units of five "
      "networks. See docs/starter.md."
    ),
  )
