"""Descriptions that tie with another are counted and reported."""

from milan_jax._src.api.describe_run import report_ties
from milan_jax._src.records import Description, Unit


def _described(*margins):
  return [
    Description(Unit("a", i), "Dogs", -1.0, -1.0, margin=margin)
    for i, margin in enumerate(margins)
  ]


def test_ties_within_a_hundred_thousandth_are_counted(capsys):
  report_ties(_described(0.5, 9e-6, None, 0.0, 1.1e-5))
  assert "2 of them tie with another description" in capsys.readouterr().err


def test_nothing_is_said_where_nothing_ties(capsys):
  report_ties(_described(0.5, None))
  assert not capsys.readouterr().err
