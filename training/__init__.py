"""Makes the tooth model that the service runs: data, network, metrics, export, report."""

import service  # noqa: F401 - before anything that imports a runtime, which it tells to be quiet
