"""The door of the package: what it offers, and what it does not load."""

import subprocess
import sys


def test_the_door_offers_four_names_and_loads_no_torch():
    code = (
        "import sys, tracer_agents; assert tracer_agents.load_config().seed == 0 and tracer_agents.Config; "
        "assert not {'torch', 'transformers'} & set(sys.modules); print(*sorted(dir(tracer_agents)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Config", "Team", "__version__", "load_config"]


def test_what_it_does_not_offer_is_an_error_that_lists_what_it_does():
    code = "import tracer_agents; tracer_agents.Model"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "has no attribute 'Model'; it offers ['Config', 'Team', '__version__', 'load_config']" in done.stderr
