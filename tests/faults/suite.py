"""Every scenario, by name, in the order of the table."""

from tests.faults import clocks, disk, downstream, processes, upstream
from tests.faults.scenario import Scenario

MODULES = (processes, disk, upstream, downstream, clocks)
SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario for module in MODULES for scenario in module.SCENARIOS
}
