"""The JSON of the Open Inference Protocol, as its page has it."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

_MOST: Final = 16
"""Entries of a list: each wrong one would be told, and millions of them are no request."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)  # what the protocol may add later is passed over

    @model_validator(mode="before")
    @classmethod
    def _pass_over_nulls(cls, sent: Any) -> Any:  # noqa: ANN401 - whatever stands in the JSON
        """Many serialisers write null for what is not given."""
        if not isinstance(sent, dict):
            return sent
        return {name: value for name, value in sent.items() if value is not None}


class TensorParameters(_Part):
    """How a tensor travels."""

    binary_data_size: int | None = Field(default=None, ge=0, description="Bytes of it behind the JSON.")
    binary_data: bool | None = Field(default=None, description="Whether an output is to come as bytes.")
    classification: int = 0
    shared_memory_region: str | None = None


class InputTensor(_Part):
    """A tensor that is sent."""

    name: str
    shape: list[int] = Field(max_length=_MOST)
    datatype: str
    parameters: TensorParameters = TensorParameters()
    data: list[Any] | None = None


class RequestedOutput(_Part):
    """A tensor that is asked for."""

    name: str
    parameters: TensorParameters = TensorParameters()


class RequestParameters(_Part):
    """Of a request as a whole."""

    binary_data_output: bool = Field(default=False, description="Whether outputs are to come as bytes.")


class InferRequest(_Part):
    """A request for inference."""

    id: str | None = None
    inputs: list[InputTensor] = Field(max_length=_MOST)
    outputs: list[RequestedOutput] | None = Field(default=None, max_length=_MOST)
    parameters: RequestParameters = RequestParameters()


class OutputParameters(BaseModel):
    """How an output travels."""

    binary_data_size: int


class OutputTensor(BaseModel):
    """A tensor that is given."""

    name: str
    datatype: str
    shape: list[int]
    parameters: OutputParameters | None = None
    data: list[Any] | None = Field(default=None, description="Its values in order, row by row.")


class InferAnswer(BaseModel):
    """The answer to a request for inference."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class ServerMetadata(BaseModel):
    """What the server is."""

    name: str = "panoseg"
    version: str
    extensions: list[str] = ["binary_tensor_data"]


class ServerLive(BaseModel):
    """The process runs."""

    live: Literal[True] = True


class ServerReady(BaseModel):
    """A model is loaded and warmed up."""

    ready: Literal[True] = True


class ModelReady(BaseModel):
    """The model answers."""

    name: str
    ready: Literal[True] = True


class TensorMetadata(BaseModel):
    """A tensor that a model takes or gives."""

    name: str
    datatype: str
    shape: list[int] = Field(description="-1 for the batch.")


class ModelMetadata(BaseModel):
    """A model and its tensors."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ProtocolError(BaseModel):
    """What is wrong."""

    error: str
