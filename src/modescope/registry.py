"""A folder of modules is a registry: its files are the plug-ins, their names are the names, the strongest claim wins."""

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType, ModuleType

from modescope.errors import UsageError


@cache
def modules(package: str) -> Mapping[str, ModuleType]:
    """Every public module in a package, by file name, in alphabetical order.

    Args:
        package: Dotted name of the folder, "modescope.layers".

    Returns:
        A read-only mapping from file name to imported module. A name with a leading underscore is not a plug-in.
    """
    found = (item.name for item in pkgutil.iter_modules(import_module(package).__path__))
    return MappingProxyType({name: import_module(f"{package}.{name}") for name in sorted(found) if name[0] != "_"})


def strongest(claims: Mapping[str, int], what: str) -> str | None:
    """Name of the only strongest positive claim, or None where nobody claims.

    Args:
        claims: Evidence by plug-in name: 0 none, 1 shape or suffix, 2 name or magic bytes, 3 declared by file or config.
        what: The thing claimed, for the error.

    Raises:
        UsageError: Two plug-ins claim with equal evidence; both are named.
    """
    best = max(claims.values(), default=0)
    if best == 0:
        return None
    winners = [name for name, evidence in claims.items() if evidence == best]
    if len(winners) > 1:
        raise UsageError(
            f"{what}: expected one plug-in to claim it, got {' and '.join(winners)} with equal evidence {best}. "
            "Say which one is meant, or let one of them claim more narrowly."
        )
    return winners[0]
