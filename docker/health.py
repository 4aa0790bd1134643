"""Asks the service inside this container whether it is ready, for the container's health check; exits with 1 if not."""

import sys
from http.client import HTTPConnection

# Not urllib: it would send even this through a proxy that the container was given.
connection = HTTPConnection("127.0.0.1", 8000, timeout=4)
connection.request("GET", "/health/ready")
answer = connection.getresponse()
print(answer.read().decode())
sys.exit(answer.status != 200)
