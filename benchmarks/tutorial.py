"""The stack that a tutorial gives: FastAPI, ONNX Runtime fp32 with default options, Pillow, base64 PNG in JSON.

    PANOSEG_TUTORIAL_MODEL=model.onnx uvicorn benchmarks.tutorial:app

It is written as such tutorials are, no worse: the session is made once, the route is a plain function (so it runs in
FastAPI's thread pool), and Pillow and NumPy are used in their usual ways.
"""

import base64
import io
import os
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI, File
from PIL import Image

app = FastAPI()
session = onnxruntime.InferenceSession(os.environ["PANOSEG_TUTORIAL_MODEL"])

CLASSES = 33
PALETTE = np.random.default_rng(0).integers(60, 255, (CLASSES, 3), np.uint8)


@app.post("/predict")
def predict(file: bytes = File()) -> dict[str, Any]:
    """Teeth by class with their areas, the mask, and an overlay."""
    image = Image.open(io.BytesIO(file)).convert("L")
    pixels = np.asarray(image.resize((512, 256)), np.float32)[None, None] / 255.0
    (logits,) = session.run(None, {session.get_inputs()[0].name: (pixels - 0.5) / 0.25})
    classes = logits[0].argmax(axis=0).astype(np.uint8)
    labels = np.asarray(Image.fromarray(classes).resize(image.size, Image.Resampling.NEAREST))
    grey = np.asarray(image.convert("RGB"), np.float32)
    overlay = np.where(labels[..., None] > 0, 0.6 * grey + 0.4 * PALETTE[labels], grey).astype(np.uint8)
    mask = np.where(labels > 0, 255, 0).astype(np.uint8)
    return {
        "teeth": [{"class": int(index), "area": int((labels == index).sum())} for index in np.unique(labels) if index],
        "mask": _base64_png(mask),
        "overlay": _base64_png(overlay),
    }


@app.get("/ready")
def ready() -> dict[str, bool]:
    """Answers once the model is loaded."""
    return {"ready": True}


def _base64_png(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()
