"""SIGHUP has the service load its model anew, and is not to end one that is still being started."""

import os
import signal
import sys


def reloads_by_hangup() -> bool:
    """Whether SIGHUP is an order to reload: where the system has it, and not where a terminal sends it as it closes."""
    return hasattr(signal, "SIGHUP") and not os.isatty(0)


def ignore_hangup() -> None:
    """Call before anything that takes time, in a process that is to be the service; by default the signal ends it."""
    if sys.argv[1:2] == ["serve"] and reloads_by_hangup():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
