"""Rules of the model section, and what keeps a network from a protocol."""

from configs.schema import (
    NUM_POOLED_BLOCKS,
    ContextConfig,
    FrontendConfig,
    ModelConfig,
    ResizeConfig,
    ValidationConfig,
)
from configs.validation import shown

TRANSPOSED_OFFSET_PX = 3.5  # (kernel - 1) / 2 - padding = 15 / 2 - 4


def frontend_problems(config: FrontendConfig) -> list[str]:
    problems, key = [], "model.frontend"
    lengths = {name: len(getattr(config, name)) for name in ("depths", "channels", "dilations")}
    if len(set(lengths.values())) > 1:
        listing = ", ".join(f"{key}.{name} has {length}" for name, length in lengths.items())
        problems.append(f"{key}: one value for each block is required in every list; {listing}")
    elif 0 < lengths["depths"] < NUM_POOLED_BLOCKS:
        problems.append(
            f"{key}.depths={shown(config.depths)}: at least {NUM_POOLED_BLOCKS} blocks are required, "
            "the stride of 8 comes from the pooling after the first three"
        )
    if config.fc6_kernel % 2 == 0:
        problems.append(
            f"{key}.fc6_kernel={config.fc6_kernel}: an odd kernel is required, so that a cell has a centre; "
            f"write {config.fc6_kernel - 1} or {config.fc6_kernel + 1}"
        )
    return problems


def context_problems(config: ContextConfig) -> list[str]:
    if len(config.widths) in (0, len(config.dilations)):
        return []
    return [
        f"model.context.widths={shown(config.widths)}: none, or one for each of the {len(config.dilations)} dilations "
        f"{shown(config.dilations)} is required; got {len(config.widths)}; model.context.widths=[] makes all 1"
    ]


def head_problems(model: ModelConfig) -> list[str]:
    if model.head == "interpolated" or model.node_offset_px == TRANSPOSED_OFFSET_PX:
        return []
    return [
        f"model.node_offset_px={shown(model.node_offset_px)}: the transposed convolution puts cell i at pixel "
        f"8i + {TRANSPOSED_OFFSET_PX}; set model.node_offset_px={TRANSPOSED_OFFSET_PX}, or model.head=interpolated"
    ]


def authors_problems(model: ModelConfig, validation: ValidationConfig, resize: ResizeConfig) -> list[str]:
    """What keeps a network from answering by the authors' protocol; empty if nothing does."""
    problems, resized = [], resize.model_dump(exclude_none=True)
    if resized and resized != {"factor": 1}:
        problems.append(
            f"protocol=authors: the image at its own size, not data.resize={shown(resized)}; leave it out (where a "
            "checkpoint brings it: eval.py data.resize.factor=1, predict.py resize.factor=1), or use whole or tiles"
        )
    if model.padding != "reflect":
        problems.append(
            "protocol=authors: it reflects the image by the front end's margin, and with model.padding=zero there is "
            "none; use whole or tiles"
        )
    if validation.flip or validation.scales != [1.0]:
        problems.append(
            f"protocol=authors: one view of the image, not flip={shown(validation.flip)} and "
            f"scales={shown(validation.scales)}; set flip=false and scales=[1], or use whole or tiles"
        )
    return problems
