"""Keeps the runtimes from telling their makers who runs what: in a clinic nothing is sent anywhere.

ONNX Runtime sends usage data from 1.29 on, on Linux too, and keeps a device id in the home directory; OpenVINO's Python
package does as soon as it is imported. Both must be told before that.
"""

import os
import sys


def silence_telemetry() -> None:
    """Call before a runtime is imported."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # OpenVINO has a stub of its own for where the package is not installed.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
