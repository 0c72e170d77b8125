"""`milan-eval`: tests of a captioner on units with known truth."""
