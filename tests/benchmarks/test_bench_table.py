"""The table of the benchmarks: medians, ratios of rounds, goals, JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.scenarios import SCENARIOS, Figures
from benchmarks.table import GOALS, Results, judged, medians, ratio, table, verdicts

ROUND = Figures(
    sent=300, messages=100.0, delivered=None, cpu=0.3, cores=0.5, memory=50 << 20,
    grown=5 << 20, p50=0.002, p99=0.02, load=0.1, watch=0.02,
)  # fmt: skip
NEW = "accept, new connections"


def rounds(*rates: float) -> list[Figures]:
    """One round for each rate."""
    return [replace(ROUND, messages=rate) for rate in rates]


def results() -> Results:
    """mailframe takes three and a half times as much as Postfix in the middle round."""
    found = Results({(NEW, "postfix"): rounds(100, 50, 200)})
    found.rounds[NEW, "mailframe"] = rounds(350, 150, 1000)
    return found


def test_a_figure_is_the_median_of_its_rounds() -> None:
    """One slow round changes nothing."""
    assert medians(rounds(90, 1, 100)).messages == 90


def test_what_was_not_measured_has_no_median() -> None:
    """Nothing is delivered where messages are dropped; a single round without it is enough."""
    assert medians([ROUND, replace(ROUND, delivered=3.0)]).delivered is None


def test_a_ratio_is_that_of_rounds_side_by_side() -> None:
    """The machine may be slower in one round: both servers are, then."""
    assert ratio(rounds(350, 150, 1000), rounds(100, 50, 200)) == 3.5


def test_a_server_that_missed_a_round_is_compared_by_the_others() -> None:
    """Who was left out halfway keeps what was measured."""
    assert ratio(rounds(300), rounds(100, 1)) == 3


def test_the_table_has_a_row_for_each_server() -> None:
    """With the ratio to Postfix, and without one where Postfix was not measured."""
    found = results()
    found.rounds["relay, new connections", "exim"] = rounds(80)
    found.idling["exim"] = {"memory": 9 << 20, "session": 2048, "cpu": 0.5}
    lines = table(found).splitlines()
    assert lines[2].split()[3:6] == ["mailframe", "350", "3.50"]
    assert lines[3].split()[3:5] == ["exim", "80"]
    assert "1.00" not in lines[3]
    assert lines[4] == (
        "idle: exim: 9 MB, 2.0 KB a session, 0.50 s of CPU a minute beside 80 sessions"
    )


@pytest.mark.parametrize(("rate", "word"), [(3.0, "met"), (2.9, "MISSED")])
def test_a_goal_is_met_at_its_limit(rate: float, word: str) -> None:
    """At least 3 times Postfix; goals of what was not measured are not spoken of."""
    found = Results({(NEW, "postfix"): rounds(1), (NEW, "mailframe"): rounds(rate)})
    first, cpu = verdicts(found).splitlines()
    assert first.endswith(f"{rate:.2f}, at least 3: {word}")
    assert cpu.endswith("CPU s/1,000: 0.30, at most 0.35: met")


def test_memory_is_judged_in_megabytes() -> None:
    """The goal is 20 MB above idle."""
    scenario = "50 MB messages, four at once"
    found = Results({(scenario, "mailframe"): [replace(ROUND, grown=21 << 20)]})
    assert verdicts(found).endswith("MB more: 21.00, at most 20: MISSED")


def test_every_goal_is_about_a_scenario() -> None:
    """A scenario that is renamed takes its goals along."""
    assert {goal.scenario for goal in GOALS} <= {scenario.name for scenario in SCENARIOS}
    assert all((goal.least is None) != (goal.most is None) for goal in GOALS)


def test_the_json_has_all_rounds(tmp_path) -> None:
    """And the medians, the goals, the machine and who failed."""
    found = results()
    found.failed.append("relay: exim: OSError()")
    file = tmp_path / "build" / "figures.json"
    found.write(file, tmp_path)
    said = json.loads(file.read_text())
    rates = {each["server"]: [one["messages"] for one in each["rounds"]]
             for each in said["scenarios"]}  # fmt: skip
    assert rates == {"postfix": [100, 50, 200], "mailframe": [350, 150, 1000]}
    assert said["scenarios"][1]["median"]["messages"] == 350
    assert said["goals"] == list(judged(found))
    assert said["failed"] == ["relay: exim: OSError()"]
    assert said["machine"]["cores"] >= 1
