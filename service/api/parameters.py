"""Refuses query parameters that a route does not take: whoever misspells one would otherwise get another answer."""

from fastapi import Request
from fastapi.routing import APIRoute

from service.errors import InvalidParameter


async def refuse_unknown_parameters(request: Request) -> None:
    """As a dependency of routes.

    Raises:
        InvalidParameter: the query holds a parameter that the route does not take.
    """
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    taken = [field.alias for field in route.dependant.query_params]
    unknown = [name for name in request.query_params if name not in taken]
    if unknown:
        raise InvalidParameter(f"{route.path} takes no parameter {unknown[0]}; it takes {', '.join(taken)}.")
