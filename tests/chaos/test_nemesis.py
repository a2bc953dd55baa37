"""
Two seeds of the nemesis and one killed publish; ``make chaos`` runs two hundred of each.

Ten more seeds and a dozen killed publishes run with the long tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import airflow_home

airflow_home.prepare()

from chaos.nemesis import Nemesis  # noqa: E402 - airflow must not be imported before its home is set
from chaos.publishes import Publishes  # noqa: E402
from chaos.scenarios import IN_SUITE, IN_SUITE_LONG, scenario  # noqa: E402
from chaos.servers import Servers  # noqa: E402


@pytest.fixture(scope="module")
def nemesis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nemesis]:
    folder = tmp_path_factory.mktemp("nemesis")
    with Servers(folder / "servers") as servers:
        yield Nemesis(folder, servers)


@pytest.mark.parametrize(
    "seed",
    [
        *(pytest.param(seed, marks=pytest.mark.slow) for seed in IN_SUITE[:-1]),
        IN_SUITE[-1],
        *(pytest.param(seed, marks=pytest.mark.long) for seed in IN_SUITE_LONG),
    ],
)
def test_killed_and_disturbed_a_run_ends_with_the_same_tables_paid_once(nemesis: Nemesis, seed: int) -> None:
    outcome = nemesis.run(scenario(seed))
    assert outcome.broken is None
    assert outcome.faults, "a seed without a fault proves nothing"
    assert (outcome.lost, outcome.paid_twice, outcome.unnamed) == (0, 0, [])


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, pytest.param(12, marks=pytest.mark.long)])
def test_no_reader_sees_a_partial_or_mixed_load_while_publishes_are_killed(
    nemesis: Nemesis, times: int
) -> None:
    tally = Publishes(nemesis).kill(times)
    assert tally.killed == times
    assert tally.looks > tally.loads
