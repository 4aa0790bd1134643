"""The network that a run begins with: that of another run, or that of a model package, taken out of its eight bits.

A package's file holds each batch normalisation merged into its convolution, so what normalised is gone and only its
result is known: every convolution's output plus a bias. The network gets it back as a normalisation that changes
nothing but adds that bias. It gives the package's own answers as long as no statistics of batches are taken, which is
why such a run keeps them frozen (`frozen_statistics`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from service.errors import ModelPackageError
from service.model.check import check_known_answer
from service.model.package import ModelPackage, load_package
from service.model.session import Session
from training.checkpoint import CONFIG, CheckpointError, describe_network, is_package, load_network
from training.config import Config, ConfigError, load_config
from training.dequantize import WEIGHT, to_float
from training.measure import service_graph
from training.network import ToothNetwork


def begin_network(config: Config) -> ToothNetwork:
    """The network that `config.begin_with` names, ready for inference.

    Raises:
        ConfigError: its weights come from a package, and the run would take statistics of batches.
        CheckpointError: there are no weights, or they are of another network than the configuration's.
        ModelPackageError: the package is damaged.
    """
    assert config.begin_with is not None
    if not config.frozen_statistics and _lacks_statistics(config.begin_with):
        raise ConfigError(
            f"The weights of {config.begin_with} come from a model package, whose file holds no statistics of batches; "
            f"set frozen_statistics: true in the configuration {config.name}."
        )
    if is_package(config.begin_with):
        return recover_network(load_package(config.begin_with), config)
    return load_network(config.begin_with, config)


def _lacks_statistics(folder: Path) -> bool:
    if is_package(folder):
        return True
    return (folder / CONFIG).exists() and load_config(folder / CONFIG).frozen_statistics


def recover_network(package: ModelPackage, config: Config) -> ToothNetwork:
    """A package's network in float32, ready for inference.

    Raises:
        CheckpointError: the package's file is of another network than the configuration's, or what was taken from it
            does not give the package's known answer.
    """
    network = ToothNetwork(config.network)
    path = package.folder / package.manifest.files[0].path
    graph = to_float(onnx.load(path)).graph
    constants = {constant.name: constant for constant in graph.initializer}
    convolutions = {
        node.input[1].removesuffix(WEIGHT).removesuffix(".weight"): [
            torch.from_numpy(numpy_helper.to_array(constants[name]).copy()) for name in node.input[1:]
        ]
        for node in graph.node
        if node.op_type == "Conv"
    }
    theirs = _describe_weights({name: weights[0] for name, weights in convolutions.items()})
    try:
        _fill(network, convolutions)
    except (KeyError, RuntimeError) as error:
        ours = {name: one.weight for name, one in network.named_modules() if isinstance(one, nn.Conv2d)}
        raise CheckpointError(
            f"{path} is not of the network that the configuration {config.name} describes (the package: {theirs}; the "
            f"configuration: {describe_network(config.network)}, {_describe_encoder(ours)})."
        ) from error
    network.eval()
    _check_known_answer(package, network)
    return network


def _describe_weights(weights: Mapping[str, Tensor]) -> str:
    """What a network's convolutions tell of it; its encoder's name is not among that."""
    decoder = [str(len(weight)) for name, weight in weights.items() if ".decoder." in name and "conv1" in name]
    classes = next((len(weight) for name, weight in weights.items() if "head" in name), "other")
    return f"decoder {', '.join(decoder)}, {classes} classes, {_describe_encoder(weights)}"


def _describe_encoder(weights: Mapping[str, Tensor]) -> str:
    return f"{sum('.encoder.' in name for name in weights)} convolutions in the encoder"


def _fill(network: ToothNetwork, convolutions: dict[str, list[Tensor]]) -> None:
    """Set the weights; those of a normalisation follow its convolution, as in every network of this kind."""
    bias: Tensor | None = None
    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d):
                weight, bias = convolutions.pop(name)
                _set(module.weight, weight)
                if module.bias is not None:
                    _set(module.bias, bias)
            elif isinstance(module, nn.BatchNorm2d):
                assert bias is not None
                _set(module.bias, bias)
                nn.init.ones_(module.weight)
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.zero_()
                module.running_var.fill_(1 - module.eps)
    if convolutions:
        raise KeyError(*convolutions)


def _set(parameter: Tensor, value: Tensor) -> None:
    if parameter.shape != value.shape:
        raise RuntimeError(f"a weight has the shape {tuple(value.shape)} and not {tuple(parameter.shape)}")
    parameter.copy_(value)


def _check_known_answer(package: ModelPackage, network: ToothNetwork) -> None:
    graph = service_graph(network, torch.device("cpu"))

    def run(pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        with torch.inference_mode():
            return [output.numpy() for output in graph(torch.from_numpy(pixels))]

    try:
        check_known_answer(package, Session(run, package.manifest.files[0]))
    except ModelPackageError as error:
        raise CheckpointError(f"The network taken from {package.folder} cannot be trained further: {error}") from error
