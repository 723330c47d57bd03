"""The methods that the benchmark compares, one small file each; adding one is adding a file.

A file holds ``METHODS``, a tuple of ``Method``; it is found by being here.
"""

from importlib import import_module
from pkgutil import iter_modules

from benchmarks.methods.base import Cost, Method, Prepared

__all__ = ["FAMILIES", "METHODS", "Cost", "Method", "Prepared"]

METHODS: dict[str, Method] = {
    method.name: method
    for module in sorted(info.name for info in iter_modules(__path__))
    for method in getattr(import_module(f"{__name__}.{module}"), "METHODS", ())
}
FAMILIES = {name: method.family for name, method in METHODS.items() if method.family is not None}  # of stopping rules
