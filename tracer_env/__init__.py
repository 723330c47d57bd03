"""TRACER's environment: a cooperative debate between speaking agents, for PettingZoo.

Importing this package registers ``tracer/debate_v0`` with PettingZoo, for both of its APIs, and does nothing else.
"""

# PettingZoo has no stubs:
# pyright: reportMissingTypeStubs=false

import pettingzoo

__all__: list[str] = []  # its modules are its doors: ``tracer_env.debate_v0`` first of all

_ID, _NORMALIZED = "tracer/debate_v0", "tracer/debate-v0"  # the registries keep the second spelling

if _NORMALIZED not in pettingzoo.aec_registry:
    pettingzoo.register("aec", _ID, entry_point="tracer_env.debate_v0:env")
if _NORMALIZED not in pettingzoo.parallel_registry:
    pettingzoo.register("parallel", _ID, entry_point="tracer_env.debate_v0:parallel_env")
