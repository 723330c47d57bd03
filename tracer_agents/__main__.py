"""``python -m tracer_agents`` is the ``tracer`` command."""

import sys

from tracer_agents.cli import main

if __name__ == "__main__":
    sys.exit(main())
