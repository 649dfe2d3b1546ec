"""What needs all islands: what a stage is fed with, a trained network from its file, the protocol."""
