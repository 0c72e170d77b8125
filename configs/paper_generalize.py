"""The paper's generalization experiments: ResNet-50 features, 5 trials.

    milan-generalize --config=configs/paper_generalize.py \
        --encoder_weights=resnet50.pth \
        --bert_score=ROBERTA_LARGE --workdir=runs/paper-generalize

Needs MILANNOTATIONS with its images (docs/milannotations.md), and a folder with
roberta-large. Not run here. Where it differs from the paper: docs/generalization.md.
"""

from milan_jax import GeneralizeOptions


def get_config() -> GeneralizeOptions:
  """Returns the options of `milan-generalize`."""
  return GeneralizeOptions.of(
    data="base,dino_vits8/imagenet",
    workdir="runs/paper-generalize",
    encoder="resnet50",
    stop_by="bleu",
    order="random",
    within_patience=10,
    test_fraction=0.1,
    trials=5,
    beam_size=50,
    temperature=0.2,
    min_annotations=3,
    max_annotations=3,
    parity=True,
  )
