"""Score a checkpoint on a split of its data set, or write the split's label maps for an evaluation server.

    python eval.py checkpoint=runs/NAME/best.pt                       the validation split, as in training
    python eval.py checkpoint=FILE data.root=DIR split=test           data that lie elsewhere, another split
    python eval.py checkpoint=FILE flip=true 'scales=[0.75,1,1.25]'   averaged over views
    python eval.py checkpoint=FILE submission=voc split=test data.root=DIR output=DIR      files for a server

Only the checkpoint is needed: classes, mean, precision, batch and protocol ride in it and are the defaults.
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from assembly.command import Command
from configs.compose import HYDRA_VERSION
from configs.errors import OK
from configs.schema import EvalConfig


@hydra.main(version_base=HYDRA_VERSION, config_path="configs", config_name="eval")
def main(composition: DictConfig) -> float:
    return COMMAND.task(composition)


def run(request: EvalConfig) -> int:
    # Imported here and below, so that a typo on the command line is answered before torch is loaded.
    from engine.process.exits import guarded

    command = score if request.verify is None else verify
    return guarded(lambda: command(request), "set batch=1, or answer in pieces: protocol=tiles 'tile_px=[256,256]'")


def score(request: EvalConfig) -> int:
    """Load, answer, report; returns the exit code."""
    from assembly.submission import Submission
    from assembly.trained import check_classes, restore, runtime_lines
    from data.build import open_images
    from data.loaders import Share, validation_batches
    from data.resize import resize_line
    from engine.evaluation.evaluate import evaluate
    from engine.process.heap import keeping_freed_memory
    from engine.process.ranks import ranks_of_torchrun
    from engine.reporting.score_files import write_scores
    from engine.reporting.score_table import score_table
    from engine.runtime import choose_runtime

    with ranks_of_torchrun() as ranks:
        trained = restore(request)
        config, classes = trained.config, trained.classes
        runtime = choose_runtime(config.runtime, ranks, config.cache)
        submission = Submission(request, trained, results(request), ranks) if request.submission else None
        images = submission.images if submission else open_images(config.data, request.split)
        check_classes(trained, images)
        lines = [trained.description, *runtime_lines(trained, runtime), images.describe()]
        lines += [resize_line(config.data.resize), submission.describe() if submission else ""]
        if ranks.is_first:
            print("\n".join(filter(None, lines)) + "\n", flush=True)
        with keeping_freed_memory():
            evaluation = evaluate(
                trained.model.to(runtime.device),
                lambda: validation_batches(
                    images,
                    batch=config.validation.batch,
                    workers=config.runtime.workers,
                    share=Share(ranks.rank, ranks.size),
                    resize=config.data.resize,
                    pin_memory=runtime.pin_memory,
                ),
                config.validation,
                runtime,
                write=submission.write if submission else None,
                num_pictures=request.num_pictures,
            )
    if not ranks.is_first:
        return OK
    if evaluation.is_labelled or not submission:
        scores_file = write_scores(
            results(request),
            evaluation,
            classes.names,
            classes.palette,
            config.validation,
            config.data.resize,
            checkpoint=request.checkpoint,
            split=request.split,
            precision=runtime.precision,
        )
        print(score_table(classes.names, {trained.stage: evaluation.scores}))
        print(f"\n{evaluation.num_images} images; scores, confusion matrix and pictures in {scores_file.parent}")
    return submission.finish() if submission else OK


def verify(request: EvalConfig) -> int:
    from assembly.submission import verify_files

    return verify_files(request)


def results(request: EvalConfig) -> Path:
    """The folder of the scores, and of the files for a server."""
    return Path(request.output) if request.output else Path(request.checkpoint).parent / f"eval-{request.split}"


COMMAND = Command(EvalConfig, run, results=results, is_parallel=True)

if __name__ == "__main__":
    sys.exit(COMMAND.start(main))
