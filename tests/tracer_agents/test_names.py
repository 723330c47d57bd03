"""Names: a typo is answered with the nearest name, and what there is can be listed."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.suite.cells import jobs_of
from benchmarks.suite.plan import make_plan
from tracer_agents.cli import main
from tracer_agents.config import Config
from tracer_agents.config.sources import preset_names
from tracer_env.errors import ConfigError
from tracer_env.names import nearest
from tracer_env.tasks.catalogue import TASKS


def test_the_nearest_name_is_named_whatever_its_case():
    assert nearest("GSM8", ["gsm8k", "math500"]) == "; did you mean gsm8k?"
    assert nearest("hedge", ["Hedge", "RegretMatching"]) == "; did you mean Hedge?"
    assert nearest("zebra", ["gsm8k", "math500"]) == ""
    assert nearest(3, ["three"]) == ""


@given(st.text(max_size=12), st.lists(st.text(min_size=1, max_size=8), max_size=4))
def test_only_known_names_are_proposed(name, known):
    close = nearest(name, known)
    assert close == "" or close.removeprefix("; did you mean ").removesuffix("?") in known


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "dmeo"], "no preset 'dmeo'; there are: demo, .* did you mean demo?"),
        (["train", "--task", "gsmk8"], "got 'gsmk8'; did you mean gsm8k?"),
        (["train", "--task.options.levle", "2"], "has no option 'levle'; it has ['level']; did you mean level?"),
        (["train", "--trainer.stesp", "2"], "no option '--trainer.stesp'; did you mean --trainer.steps?"),
        (["train", "--dialogue.schedule", "rotat"], "(got 'rotat'); did you mean rotate?"),
        (["train", "--controllers.minimiser", "regretmatching"], "did you mean RegretMatching?"),
        (["list", "preset"], "no list of 'preset'; there are: presets, tasks, .* did you mean presets?"),
        (["sohw", "run"], "Did you mean 'show'?"),
    ],
)
def test_a_typo_is_answered_with_the_nearest_name(words, message, tmp_path, capsys):
    out = [] if words[0] != "train" else ["--out", str(tmp_path / "run")]

    assert main([*words, *out]) == 1
    assert re.search(re.escape(message).replace(r"\ \.\*\ ", " .* ").replace(r"\.\*", ".*"), capsys.readouterr().err)


def test_a_benchmarks_typos_are_answered_too(tmp_path):
    plan: dict[str, Any] = {"methods": ["tracr"], "tasks": {"arithmetic-1": {"name": "arithmetic"}}}
    with pytest.raises(ConfigError, match=r"there is no 'tracr'; there are .*; did you mean tracer\?"):
        jobs_of(make_plan(plan, "plan"), tmp_path, lambda bench, split: 1)
    with pytest.raises(ConfigError, match=r"plan: qestions: there is no such field; did you mean questions\?"):
        make_plan({**plan, "qestions": 3}, "plan")
    with pytest.raises(ConfigError, match=r"no task is labelled 'arithmetic-11'.*; did you mean arithmetic-1\?"):
        make_plan({**plan, "train": "arithmetic-11"}, "plan")


def test_lists_name_everything_with_what_it_is(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in (*preset_names(), *TASKS, "numeric", "Hedge", "stop_on_agreement", "wrong-to-right"):
        assert re.search(rf"^  {re.escape(name)}(  +\S|$)", shown, flags=re.M), name

    assert main(["list", "graders"]) == 0
    only = capsys.readouterr().out
    assert only in shown
    assert "presets" not in only


def test_no_setting_is_missing_from_help(capsys):
    """By the schema that checks settings, which knows nothing of help pages."""
    schema = Config.model_json_schema()
    wanted: dict[str, str] = {}
    for name, field in schema["properties"].items():
        section = schema["$defs"].get(field.get("$ref", "").rpartition("/")[2])
        fields = (
            {f"{name}.{each}": entry for each, entry in section["properties"].items()} if section else {name: field}
        )
        wanted |= {each: entry.get("description", "") for each, entry in fields.items()}
    assert len(wanted) > 76

    main(["train", "--help"])
    shown = " ".join(capsys.readouterr().out.split())

    for name, meaning in wanted.items():
        assert f" --{name} " in shown, name
        if name != "seed":  # has an option of its own
            assert len(meaning) > 10, name
            assert " ".join(meaning.split()) in shown, name
