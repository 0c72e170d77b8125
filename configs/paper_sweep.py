"""The paper's grids: beams 5 to 45, temperatures .05 to .70, on a tenth of the units.

    milan-sweep --config=configs/paper_sweep.py --encoder_weights=resnet50.pth \
        --bert_score=ROBERTA_LARGE --workdir=runs/paper-sweep

Needs MILANNOTATIONS with its images (docs/milannotations.md). Not run here.
"""

from milan_jax import SweepOptions


def get_config() -> SweepOptions:
  """Returns the options of `milan-sweep`."""
  return SweepOptions.of(
    data="base",
    workdir="runs/paper-sweep",
    encoder="resnet50",
    stop_by="bleu",
    order="random",
    strategies="greedy-mi,beam-mi,rerank",
    beam_sizes=",".join(str(size) for size in range(5, 50, 5)),
    temperatures=",".join(f"{0.05 * step:.2f}" for step in range(1, 15)),
    test_fraction=0.1,
    min_annotations=3,
    max_annotations=3,
    parity=True,
  )
