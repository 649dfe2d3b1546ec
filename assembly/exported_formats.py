"""The formats of an exported network: each is written to an open file, and read back as a function of images."""

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule

from assembly.labeller import Labeller
from configs.errors import UserError

INPUT, OUTPUTS = "images", ("ids", "probabilities")
AXES = ("batch", "height", "width")  # of the images that may have any size
MACHINE_TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack")  # what the tracer keeps of our source files

Answers = tuple[Tensor, ...]  # ids (B, H, W) and, if they were exported, probabilities (B, K, H, W)
Program = Callable[[Tensor], Answers]


def traced(labeller: Labeller) -> ExportedProgram:
    """The labeller as a program of tensors, proved by the tracer for every number, height and width from 1 on."""
    try:
        from torch.fx.experimental.dynamic_spec import IntVar, ParamsSpec, TensorSpec
    except ImportError as error:
        raise UserError(
            f"formats: onnx and pt2 need torch 2.14 or newer, this is {torch.__version__}; update torch, or write "
            "formats=[safetensors]"
        ) from error
    batch, height, width = (IntVar(name, min=1) for name in AXES)
    sizes = ParamsSpec({INPUT: TensorSpec([batch, 3, height, width])})
    example = torch.zeros(2, 3, 61, 83, dtype=torch.uint8)
    with quiet(), torch.no_grad():
        program = torch.export.export(labeller, (example,), dynamic_shapes=sizes)
    graphs = [part.graph for part in program.graph_module.modules() if isinstance(part, GraphModule)]
    for node in (node for graph in graphs for node in graph.nodes):
        for key in MACHINE_TRACES:
            node.meta.pop(key, None)
    return program


def write_pt2(file: IO[bytes], program: ExportedProgram, texts: Mapping[str, str]) -> None:
    whole = io.BytesIO()  # of a file that cannot be written, torch says neither that nor why
    with quiet():
        torch.export.save(program, whole, extra_files=dict(texts))
    file.write(whole.getbuffer())


def read_pt2(path: Path) -> Program:
    with quiet(), path.open("rb") as file:
        module = torch.export.load(file).module()
    return lambda images: answers_of(module(images))


def write_onnx(file: IO[bytes], program: ExportedProgram, texts: Mapping[str, str], opset: int) -> None:
    """With the names of the axes instead of the tracer's, and nothing of our source files."""
    import onnx

    names = OUTPUTS[: len(program.graph_signature.user_outputs)]
    with quiet():
        converted = torch.onnx.export(
            program, dynamo=True, input_names=[INPUT], output_names=names, opset_version=opset, verbose=False
        )
        assert converted is not None, "with dynamo=True there is a program"
        model = converted.model_proto
        del converted  # it holds the weights once more
    _name_axes(model.graph)
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    onnx.helper.set_model_props(model, dict(texts))
    onnx.save_model(model, file)


def read_onnx(path: Path) -> Program:
    """As onnxruntime runs it on the CPU, in as many threads as torch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: tuple(map(torch.from_numpy, session.run(None, {INPUT: images.numpy()})))


def answers_of(output: Any) -> Answers:
    """What a labeller answers, as a tuple always."""
    return tuple(output) if isinstance(output, list | tuple) else (output,)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings and log lines of tracers and converters, which say nothing to our users."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _name_axes(graph: Any) -> None:
    """The tracer calls the sizes u0, u1 and u2, and those made of them, such as (u1 + 7) // 8, accordingly."""
    shape = graph.input[0].type.tensor_type.shape.dim
    names = {shape[axis].dim_param: name for axis, name in zip((0, 2, 3), AXES, strict=True)}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = re.sub(r"\w+", lambda match: names.get(match[0], match[0]), size.dim_param)
