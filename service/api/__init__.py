"""The HTTP door: routes, the shape of answers, and how errors are told."""
