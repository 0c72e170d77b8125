"""Everything on disk or on the network."""
