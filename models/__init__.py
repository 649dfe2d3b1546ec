"""From image to logits."""
