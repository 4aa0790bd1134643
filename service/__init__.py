"""Runs a tooth model over panoramic radiographs: from a file's bytes to its numbered teeth."""

from service.hangup import ignore_hangup
from service.telemetry import silence_telemetry

ignore_hangup()
silence_telemetry()
