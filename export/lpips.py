"""LPIPS(alex) as one ONNX file, for the demo, which runs without torch: ``python -m export.lpips --data DIR -o demo/lpips_alex.onnx``.

The graph is that of ``training.metrics.Lpips`` (Zhang et al. 2018): two RGB pictures (1, 3, H, W) in [0, 1], H and W of any size from
31 px, to one number. Weights are stored in fp16, in which the features are anyway.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from export.to_onnx import IR_VERSION, OPSET, store_weights_as_fp16
from sdk.files.whole_files import write_whole
from training.errors import TrainingError, said_plainly
from training.metrics import Lpips
from training.results import LPIPS_WEIGHTS

FACTS = {
    "title": "LPIPS 0.1 with AlexNet features",
    "paper": "Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018",
    "licence": "features: torchvision, BSD-3-Clause; heads: LPIPS, BSD-2-Clause",
}


def export(weights: Path, target: Path) -> None:
    """Write ``target`` from an .npz with the keys that ``training.metrics.Lpips`` names."""
    if not weights.is_file():
        raise TrainingError(f"There is no {weights}; its keys are named in training/metrics.py.")
    with np.load(weights) as stored:
        constants = {name: stored[name].astype(np.float32) for name in stored.files}
    constants |= {
        "mean": np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1),
        "deviation": np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1),
        "least": np.array(1e-10, np.float32),
        "channels": np.array([1], np.int64),
    }
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, "height", "width"]) for name in ("a", "b")]
    result = helper.make_tensor_value_info("distance", TensorProto.FLOAT, [])
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    model = helper.make_model(
        helper.make_graph(_nodes(), "lpips", ends, [result], tensors),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="inverse-halftoner",
    )
    helper.set_model_props(model, FACTS)
    store_weights_as_fp16(model)
    onnx.checker.check_model(model, full_check=True)
    write_whole(target, model.SerializeToString())


def _nodes() -> list[NodeProto]:
    """Both pictures go through AlexNet as one batch of two."""
    make = helper.make_node
    nodes = [make("Concat", ["a", "b"], ["pair"], axis=0), make("Sub", ["pair", "mean"], ["shifted"])]
    nodes.append(make("Div", ["shifted", "deviation"], ["x"]))
    x = "x"
    for head, (index, (stride, padding)) in enumerate(Lpips.CONVOLUTIONS.items()):
        if index in (3, 6):
            nodes.append(make("MaxPool", [x], [f"pooled{index}"], kernel_shape=[3, 3], strides=[2, 2]))
            x = f"pooled{index}"
        names = [f"features.{index}.weight", f"features.{index}.bias"]
        nodes += [
            make("Conv", [x, *names], [f"conv{index}"], strides=[stride] * 2, pads=[padding] * 4),
            make("Relu", [f"conv{index}"], [f"relu{index}"]),
            make("ReduceL2", [f"relu{index}", "channels"], [f"norm{head}"], keepdims=1),
            make("Max", [f"norm{head}", "least"], [f"length{head}"]),
            make("Div", [f"relu{index}", f"length{head}"], [f"unit{head}"]),
            make("Split", [f"unit{head}"], [f"a{head}", f"b{head}"], axis=0, num_outputs=2),
            make("Sub", [f"a{head}", f"b{head}"], [f"difference{head}"]),
            make("Mul", [f"difference{head}"] * 2, [f"square{head}"]),
            make("Conv", [f"square{head}", f"lin.{head}.weight"], [f"map{head}"]),
            make("ReduceMean", [f"map{head}"], [f"distance{head}"], keepdims=0),
        ]
        x = f"relu{index}"
    return [*nodes, make("Sum", [f"distance{head}" for head in range(len(Lpips.CONVOLUTIONS))], ["distance"])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {LPIPS_WEIGHTS}")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    export(options.data / LPIPS_WEIGHTS, options.output)
    print(f"{options.output}: {options.output.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    with said_plainly():
        main()
