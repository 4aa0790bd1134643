"""Tensors as the Open Inference Protocol (KServe v2) sends them: JSON, and raw bytes behind it (the binary extension).

https://github.com/kserve/open-inference-protocol, and Triton's `extension_binary_data.md` for the bytes.
"""

import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import ValidationError

from service.api.kserve.schemas import (
    InferAnswer,
    InferRequest,
    InputTensor,
    OutputParameters,
    OutputTensor,
    TensorParameters,
)
from service.errors import InvalidParameter
from service.model.signature import MAX_BATCH, Tensor

Values = npt.NDArray[Any] | Sequence[bytes]
"""A tensor's values: an array, or for BYTES one value for each picture."""

HEADER_LENGTH: Final = "Inference-Header-Content-Length"

_MAX_JSON: Final = 8_000_000
"""Bytes of JSON that are read: a number in it costs many times its size in memory; larger tensors come as bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """What a request sends and wants.

    Attributes:
        values: of its one input.
        outputs: for each output that is wanted, whether as bytes.
    """

    id: str | None
    values: Values
    outputs: Mapping[str, bool]


def read_inference(body: bytes, header_length: str | None, takes: Tensor, gives: Sequence[Tensor]) -> Inference:
    """Read a request for a model of one input.

    Args:
        header_length: bytes of JSON at the body's beginning, as the header of that name says; None for all.

    Raises:
        InvalidParameter: it is not of the protocol, or the tensors are not those of the model.
    """
    if header_length is not None and not re.fullmatch("[0-9]{1,12}", header_length):
        raise InvalidParameter(f"{HEADER_LENGTH} is no number of bytes.")
    length = len(body) if header_length is None else int(header_length)
    if length > len(body):
        raise InvalidParameter(f"{HEADER_LENGTH} says {length} bytes, and the body holds {len(body)}.")
    if length > _MAX_JSON:
        raise InvalidParameter(
            f"The JSON is larger than {_MAX_JSON // 10**6} MB; send the tensor as bytes behind it, and say in "
            f"{HEADER_LENGTH} where they begin."
        )
    try:
        request = InferRequest.model_validate_json(body[:length])
    except ValidationError as error:
        # Only where and what: the message of damaged JSON would hold a piece of it.
        faults = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['type']}" for each in error.errors())
        if faults == "body: json_invalid" and header_length is None:
            faults += f"; where bytes follow the JSON, {HEADER_LENGTH} says at which they begin"
        raise InvalidParameter(f"The request is not of the Open Inference Protocol: {faults}.") from None
    if [tensor.name for tensor in request.inputs] != [takes.name]:
        raise InvalidParameter(f"The model takes one input, {takes.name}.")
    return Inference(request.id, _values(request.inputs[0], body[length:], takes), _wanted(request, gives))


def _values(sent: InputTensor, behind: bytes, takes: Tensor) -> Values:
    shape = tuple(sent.shape)
    if sent.datatype != takes.datatype or len(shape) != 1 + len(takes.dims) or shape[1:] != takes.dims:
        raise InvalidParameter(f"{takes.name} is {takes.datatype} of shape {describe_shape(takes)}.")
    if not 1 <= shape[0] <= MAX_BATCH:
        raise InvalidParameter(f"A request holds 1 to {MAX_BATCH} pictures.")
    _refuse_shared_memory(sent.parameters)
    size = sent.parameters.binary_data_size
    if (size or 0) != len(behind):
        raise InvalidParameter(f"{len(behind)} bytes follow the JSON, and its binary_data_size says {size or 0}.")
    if takes.datatype == "BYTES":
        if size is None:
            raise InvalidParameter(f"{takes.name} is no text; send it as bytes behind the JSON (binary_data_size).")
        return _split_bytes(behind, shape[0])
    if size is not None:
        if size != math.prod(shape):
            raise InvalidParameter(f"{takes.name} has {size} bytes, which its shape does not.")
        return np.frombuffer(behind, np.uint8).reshape(shape)
    return _numbers(sent.data, shape, takes.name)


def _numbers(data: list[Any] | None, shape: tuple[int, ...], name: str) -> npt.NDArray[np.uint8]:
    """Numbers of a JSON list, nested or flat."""
    fault = InvalidParameter(f"The data of {name} are not whole numbers from 0 to 255, as many as its shape says.")
    flat = data or []
    while (kinds := set(map(type, flat))) == {list}:
        flat = list(chain.from_iterable(flat))
    if kinds != {int}:  # of texts NumPy would give each the room of the longest
        raise fault
    try:
        numbers = np.array(data)
    except ValueError:
        raise fault from None
    if numbers.dtype.kind not in "iu" or numbers.size != math.prod(shape) or numbers.min() < 0 or numbers.max() > 255:
        raise fault
    return numbers.astype(np.uint8).reshape(shape)


def _refuse_shared_memory(parameters: TensorParameters) -> None:
    if parameters.shared_memory_region is not None:
        raise InvalidParameter("Shared memory is not taken here; send tensors in the request.")


def _split_bytes(data: bytes, count: int) -> list[bytes]:
    """Values that each follow their length, 4 bytes, the lowest first."""
    values, offset = [], 0
    for _ in range(count):
        if offset + 4 > len(data):
            break
        (length,) = struct.unpack_from("<I", data, offset)
        offset += 4 + length
        values.append(data[offset - length : offset])
    if len(values) != count or offset != len(data):
        raise InvalidParameter("The bytes are not as many values as the shape says, each behind its length.")
    return values


def _wanted(request: InferRequest, gives: Sequence[Tensor]) -> dict[str, bool]:
    binary = request.parameters.binary_data_output
    by_name = {tensor.name: tensor for tensor in gives}
    if not request.outputs:
        return {name: binary for name, tensor in by_name.items() if binary or tensor.in_json}
    for output in request.outputs:
        if output.name not in by_name:
            raise InvalidParameter(f"The model gives {', '.join(by_name)}.")
        if output.parameters.classification:
            raise InvalidParameter("Outputs are not given as classes here; ask for the tensor.")
        _refuse_shared_memory(output.parameters)
    wishes = ((output.name, output.parameters.binary_data) for output in request.outputs)
    outputs = {name: binary if wish is None else wish for name, wish in wishes}
    for name, as_bytes in outputs.items():
        if not as_bytes and not by_name[name].in_json:
            raise InvalidParameter(f"{name} is no text; ask for it as bytes (binary_data).")
    return outputs


def write_inference(
    inference: Inference, name: str, version: str, gives: Sequence[Tensor], results: Mapping[str, Values]
) -> tuple[bytes, bytes]:
    """JSON, and the bytes behind it, empty where every output goes as JSON.

    Args:
        results: an entry for each output that is wanted.
    """
    tensors: list[dict[str, Any]] = []
    behind = []
    for output, binary in inference.outputs.items():
        tensor = next(each for each in gives if each.name == output)
        raw = _to_bytes(results[output]) if binary else None
        behind.append(raw or b"")
        output_tensor = OutputTensor(
            name=output,
            datatype=tensor.datatype,
            shape=[len(results[output]), *tensor.dims],
            parameters=None if raw is None else OutputParameters(binary_data_size=len(raw)),
        ).model_dump(exclude_none=True)
        tensors.append(output_tensor if binary else {**output_tensor, "data": _flat(results[output])})
    answer = InferAnswer(model_name=name, model_version=version, id=inference.id, outputs=[])
    # An array becomes text without becoming a list: millions of Python's own numbers would hold up the event loop.
    content = {**answer.model_dump(exclude_none=True), "outputs": tensors}
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), b"".join(behind)


def _to_bytes(values: Values) -> bytes:
    if isinstance(values, np.ndarray):
        return values.tobytes()
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def _flat(values: Values) -> npt.NDArray[Any] | list[str]:
    return values.ravel() if isinstance(values, np.ndarray) else [value.decode() for value in values]


def describe_shape(tensor: Tensor) -> list[int]:
    """A tensor's shape as the protocol tells it: -1 for the batch."""
    return [-1, *tensor.dims]
