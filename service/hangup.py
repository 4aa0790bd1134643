"""SIGHUP has the service load its model anew, and is not to end one that is still being started."""

import signal
import sys


def ignore_hangup() -> None:
    """Call before anything that takes time, in a process that is to be the service; by default the signal ends it."""
    if sys.argv[1:2] == ["serve"] and hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
