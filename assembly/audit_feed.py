"""The feed of a run to come, for an audit: what it would read, and how large the maps that it keeps would be."""

import torch

from assembly.feed import Feed
from configs.schema import Config
from data.dataset import ImageSet
from data.store import Log
from engine.runtime import Runtime
from models.build import build_segmenter


def audit_feed(config: Config, train_set: ImageSet, val_set: ImageSet, log: Log) -> Feed:
    """As training has it, but for its network's weights, which take no memory here: layers and margin decide both."""
    with torch.device("meta"):
        model, _ = build_segmenter(
            config.model.model_copy(update={"pretrained": None}), train_set.classes.num_classes, (), seed=0
        )
    return Feed(config, train_set, val_set, model, Runtime(torch.device("cpu"), "float32", 1), log, lambda: None)
