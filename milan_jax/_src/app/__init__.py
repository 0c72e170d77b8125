"""The local page for trying a captioner: `milan-demo`."""
