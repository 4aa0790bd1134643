"""Servers that people would pick, each with our model and our codecs, each in an environment of its own."""
