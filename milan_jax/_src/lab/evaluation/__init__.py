"""Tests of a captioner with known truth: what `milan-eval` runs and reports."""
