"""`panoseg doctor`: what would run here, on what, and why not on something else."""

import ctypes
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import onnxruntime

from service.errors import ModelPackageError, SetupError
from service.machine import affine_cores, free_memory_mb, processor_name, quota, usable_cores
from service.model.package import ModelPackage, choose_package, find_packages, load_package
from service.model.providers import EXECUTION_PROVIDERS
from service.model.runtimes import has_gpu
from service.model.session import open_session
from service.segmenter import Segmenter
from service.settings import Settings, unknown_variables

_WHEELS: Final = ("onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of what the doctor finds.

    Attributes:
        fault: whether the service cannot run because of it.
    """

    topic: str
    name: str
    value: str
    fault: bool = False


def examine(settings: Settings) -> Iterator[Fact]:
    """Everything that decides what runs, in the order in which to read it; models are loaded to be sure."""
    yield from _machine()
    yield from _runtime()
    yield from _gpu()
    for name in Settings.model_fields:
        origin = "set" if name in settings.model_fields_set else "default"
        yield Fact("settings", name, f"{getattr(settings, name)} ({origin})")
    for variable in unknown_variables():
        yield Fact("settings", "unknown", f"{variable} is set, and nothing reads it")
    yield from _models(settings)
    try:
        package = choose_package(settings.models, settings.model)
    except SetupError as error:
        yield Fact("what would run", "nothing", str(error), fault=True)
        return
    yield from _providers(package)
    yield from _outcome(package, settings)


def _machine() -> Iterator[Fact]:
    allowed, memory = quota(), free_memory_mb()
    yield Fact("machine", "processor", processor_name())
    limit = "no quota" if allowed == sys.maxsize else f"a quota of {allowed:g}"
    yield Fact("machine", "cores", f"{usable_cores()} (may be put on {affine_cores()}, {limit})")
    yield Fact("machine", "free memory", "not known" if memory is None else f"{memory:.0f} MB")


def _runtime() -> Iterator[Fact]:
    installed = [f"{name} {release}" for name in _WHEELS if (release := _installed(name))]
    yield Fact("ONNX Runtime", "installed", ", ".join(installed))
    if len(installed) > 1:
        yield Fact("ONNX Runtime", "clash", "they overwrite each other; keep one and install it anew")
    yield Fact("ONNX Runtime", "version", onnxruntime.__version__)
    yield Fact("ONNX Runtime", "providers", ", ".join(onnxruntime.get_available_providers()))
    yield Fact("OpenVINO", "version", _installed("openvino") or "not installed")


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _gpu() -> Iterator[Fact]:
    yield Fact("GPU", "device", "an NVIDIA device is there" if has_gpu() else "no NVIDIA device is there")
    newest = _cuda_of_driver()
    yield Fact("GPU", "driver", f"takes CUDA up to {newest}" if newest else "libcuda.so.1 cannot be loaded, so none")
    built = getattr(importlib.import_module("onnxruntime.capi.build_and_package_info"), "cuda_version", "")
    yield Fact("GPU", "ONNX Runtime", f"is built for CUDA {built}" if built else "is built without CUDA")


def _cuda_of_driver() -> str | None:
    """The newest CUDA that the driver takes, as `cuDriverGetVersion` says it (1000 * major + 10 * minor)."""
    number = ctypes.c_int()
    try:
        if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number)) != 0:
            return None
    except OSError:
        return None
    return f"{number.value // 1000}.{number.value % 1000 // 10}"


def _models(settings: Settings) -> Iterator[Fact]:
    for folder in find_packages(settings.models):
        try:
            load_package(folder)
            state = "every file has its sha256"
        except ModelPackageError as error:
            state = str(error)
        yield Fact("models", f"{folder.parent.name}/{folder.name}", state)


def _providers(package: ModelPackage) -> Iterator[Fact]:
    for provider, execution_provider in EXECUTION_PROVIDERS.items():
        file = package.file_for(execution_provider)
        try:
            open_session(package, provider)
            state = "works"
        except SetupError as error:
            state = f"not here. {error}"
        described = f"{file.path} ({file.precision})" if file else "no file"
        yield Fact("providers", provider, f"{described}: {state}")


def _outcome(package: ModelPackage, settings: Settings) -> Iterator[Fact]:
    topic = "what would run"
    try:
        segmenter = Segmenter(package, settings)
    except SetupError as error:
        yield Fact(topic, "nothing", str(error), fault=True)
        return
    model, manifest = segmenter.model, package.manifest
    session = model.session
    yield Fact(topic, "model", f"{manifest.name}/{manifest.version}, {session.file.path}; gives its known answer")
    yield Fact(topic, "provider", f"{session.execution_provider} ({model.reason})")
    waiting = "spinning" if model.spinning else "waiting asleep"
    threads = f"{model.threads}, {waiting}" if session.provider == "cpu" else f"{model.threads}"
    yield Fact(topic, "threads", threads)
    for warning in model.warnings:
        yield Fact(topic, "warning", warning)
    segmenter.close()
