"""Makes the tooth model that the service runs: data, network, metrics, export, report."""
