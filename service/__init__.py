"""Runs a tooth model over panoramic radiographs: from a file's bytes to its numbered teeth."""

from service.telemetry import silence_telemetry

silence_telemetry()
