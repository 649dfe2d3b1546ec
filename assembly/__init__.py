"""What needs all islands: a command and its sweep, what a stage is fed with, a trained network, the protocol."""
