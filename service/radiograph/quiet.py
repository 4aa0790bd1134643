"""Keeps the image libraries from writing what they read in a file, a patient's name included, to logs or stderr."""

import logging
import warnings

import cv2
import pydicom.config


def quiet_libraries() -> None:
    """Silence warnings, loggers and native chatter of the libraries that decode; every fault still raises."""
    for library in ("pydicom", "PIL"):
        warnings.filterwarnings("ignore", module=rf"{library}\.")
        logger = logging.getLogger(library)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
