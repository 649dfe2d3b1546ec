"""predictions.json: what made the results in a folder, so that those of another network are not taken for finished."""

import hashlib
import json
from pathlib import Path
from typing import Any

from assembly.trained import TrainedNetwork
from configs.errors import UserError, cannot_write
from configs.schema import ModelConfig, PredictConfig
from data.names import readable
from data.results import Results
from engine.reporting.score_files import make_output
from engine.runs.files import write_json
from engine.runtime import Runtime

LARGEST_BYTES = 2**20  # of a record that is read


def record_of(request: PredictConfig, trained: TrainedNetwork, runtime: Runtime, file_ids: list[int]) -> dict[str, Any]:
    """`made_by` holds all that an answer depends on; the rest is for people and for programs that read the results."""
    with Path(request.checkpoint).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    validation = trained.config.validation
    return {
        "checkpoint": readable(request.checkpoint),
        "classes": [
            {"id": file_id, "name": name, "color": list(color)}
            for file_id, name, color in zip(file_ids, trained.classes.names, trained.classes.palette, strict=True)
        ],
        "made_by": {
            "sha256": digest,  # of the checkpoint
            "model": None if request.model == ModelConfig() else request.model.model_dump(),
            "ids": request.ids,
            "protocol": validation.protocol,
            "tile_px": None if validation.protocol == "whole" else validation.tile_px,
            "flip": validation.flip,
            "scales": validation.scales,
            "resize": trained.config.data.resize.model_dump(exclude_none=True),
            "precision": runtime.precision,
        },
    }


def begin(results: Results, record: dict[str, Any], overwrite: bool) -> None:
    """Leave the record in the folder; with `overwrite` nothing counts as finished there any more.

    Raises UserError where results were made by another network or with other settings, and `overwrite` is not set.
    """
    differences = _differences(results.record, record)
    if differences and not overwrite:
        raise UserError(
            f"output={readable(results.root)}: the results there were made by other settings ({differences}); set "
            "output elsewhere to keep both, or overwrite=true to make them anew"
        )
    if overwrite or not results.record.exists():
        make_output(results.root)
        try:
            results.finished.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(f"output={readable(results.root)}", error, "set output elsewhere") from error
        write_json(results.record, record)


def _differences(path: Path, record: dict[str, Any]) -> str:
    """What differs between the record in the folder, where there is one, and this one; empty if nothing does."""
    if not path.exists():
        return ""
    try:
        with path.open("rb") as file:
            before = json.loads(file.read(LARGEST_BYTES))
        made_by, ours = dict(before["made_by"]), record["made_by"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return f"{path.name} is damaged, so nobody knows by which"
    keys = [key for key in ours if made_by.get(key) != ours[key]]
    shown = [f"{key}={made_by.get(key)}, now {ours[key]}" for key in keys if key not in ("sha256", "model")]
    if "sha256" in keys:
        shown.insert(0, f"checkpoint={before.get('checkpoint')}, now {record['checkpoint']}, another file")
    return readable("; ".join(shown or ["another model"] * bool(keys)))[:500]
