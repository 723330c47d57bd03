"""The side-by-side speed of the environment: what the command writes."""

import json

import pytest

pytest.importorskip("pygame", reason="the peers are drawn with pygame: pip install pygame")

from benchmarks.peers import env as bench


def test_command_writes_figures_of_every_contestant(tmp_path, capsys):
    path = tmp_path / "deep" / "env.json"
    assert bench.main(["--json", str(path), "--seconds", "0.001", "--repeats", "2"]) == 0
    record = json.loads(path.read_text())
    names = {f"{game} {kind}" for game in ("tracer/debate_v0", "tictactoe_v3", "rps_v2") for kind in ("env", "raw_env")}
    assert set(record["results"]) == names
    for figures in record["results"].values():
        assert 0 < figures["actions_per_second"] < figures["turns_per_second"]
        assert len(figures["turns_per_second_repeats"]) == 2
    assert "tracer/debate_v0 raw_env" in capsys.readouterr().out


def test_turns_are_actions_and_dead_steps():
    played = bench.play(bench.contestants()["tictactoe_v3 raw_env"](), episodes=10, first_seed=0)
    assert played.turns == played.actions + 2 * 10


@pytest.mark.parametrize("arguments", [["--repeats", "0"], ["--seconds", "0"]])
def test_senseless_amounts_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        bench.main(arguments)
    assert stopped.value.code == 2
    assert "--repeats must be" in capsys.readouterr().err
