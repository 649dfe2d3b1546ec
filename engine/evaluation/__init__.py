"""From a network and images to scores: inference, metrics, effective field, significance of differences."""
