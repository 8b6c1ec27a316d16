"""A trained network as ONNX with QDQ nodes, for any runtime: uint8 images in, logits out, strop's integers in between.

Weights are int8 with a power-of-two scale; activations are quantized on strop's own grids; L1BN in inference is a
multiplication and an addition a channel, with the multiplier and the constant of NUMERICS.md 1.3. What a convolution
gives before its normalization is held in steps of its int8 grid, the same for all channels: the exponents that differ
from channel to channel are in the multipliers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from strop.host.checkpoint import Checkpoint, state_digest
from strop.host.export.integer_network import integer_network
from strop.host.export.onnx_layers import LAYERS, Writer
from strop.host.export.onnx_qdq import IR_VERSION, OPSET, OnnxParts
from strop.host.version import strop_version
from strop.runtime.contract import C
from strop.runtime.errors import InputError
from strop.runtime.graph import IMAGES

INPUT, OUTPUT = "images", "logits"


def onnx_network(checkpoint: Checkpoint) -> Iterator[bytes]:
    """Yield an ONNX file of a checkpoint's network: `images` uint8 [N, C, H, W] to `logits` float32 [N, classes].

    Raises `InputError` where onnx is not installed, or a layer was never trained.
    """
    yield onnx_model(checkpoint).SerializeToString()


def onnx_model(checkpoint: Checkpoint) -> Any:
    """Return the `ModelProto` of a checkpoint's network; raises as `onnx_network`."""
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise InputError(f"ONNX files need the package onnx ({error}): pip install 'strop[onnx]'") from error
    graph, parts = checkpoint.graph, OnnxParts(onnx)
    writer = Writer(integer_network(checkpoint), parts)
    writer.values[IMAGES] = writer.images(INPUT)
    for node in graph.nodes[:-1]:
        writer.values[node.name] = LAYERS[type(node.layer)](writer, node)
    writer.logits(graph.nodes[-1], OUTPUT)
    helper = onnx.helper
    images = helper.make_tensor_value_info(INPUT, onnx.TensorProto.UINT8, ["N", *graph.input])
    logits = helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["N", len(checkpoint.classes)])
    made = helper.make_graph(parts.nodes, graph.name, [images], [logits], list(parts.constants.values()))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="strop")
    model.ir_version, model.producer_version = IR_VERSION, strop_version()
    facts = {
        "classes": "\n".join(checkpoint.classes),
        "state_sha256": state_digest(checkpoint.state),
        "numerics_version": str(C.NUMERICS_VERSION),
    }
    helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    return model
