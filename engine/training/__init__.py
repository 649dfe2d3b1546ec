"""From batches to trained weights: stages, loop, losses, optimizers, learning rate."""
