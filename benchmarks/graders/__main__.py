"""The graders measured.

python -m benchmarks.graders --json FILE [--math500 FILE]     hand-written pairs, and real golds if given
python -m benchmarks.graders fuzz --texts 100000 --json FILE  nothing crashes or outlives its deadline
python -m benchmarks.graders recorded PATH … --grader numeric  recorded completions against their authors' verdicts
python -m benchmarks.graders gold --task gsm8k --data FILE --out completions.jsonl
"""

import argparse
import json
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.graders.fuzz import GRADERS, fuzz_all
from benchmarks.graders.pairs import HELD_OUT, disagreement, judge_all, load_pairs, rates
from benchmarks.graders.real import FIELDS, math500_verdicts, write_gold
from benchmarks.graders.recorded import compare_all
from benchmarks.graders.recorded import shown as shown_recorded


def measure(math500: Path | None) -> dict[str, Any]:
    """The figures of the hand-written pairs and, given the file, of MATH-500."""
    start = time.perf_counter()
    judged = judge_all(load_pairs())
    held_out = {
        f"{kind}, {HELD_OUT}": {name: [j for j in all_of if j.pair.group == HELD_OUT] for name, all_of in by.items()}
        for kind, by in judged.items()
        if any(j.pair.group == HELD_OUT for all_of in by.values() for j in all_of)
    }
    figures: dict[str, Any] = {
        "versions": {name: version(name) for name in ("math-verify", "sympy", "latex2sympy2_extended")},
        "pairs": {
            kind: {name: rates(all_of) for name, all_of in by.items()} for kind, by in {**judged, **held_out}.items()
        },
        "disagreement": {kind: disagreement(*by.values()) for kind, by in judged.items() if len(by) == 2},
        "errors": [
            {"grader_class": name, **judgement.as_json()}
            for by in judged.values()
            for name, all_of in by.items()
            for judgement in all_of
            if judgement.false_right or judgement.false_wrong
        ],
    }
    if math500 is not None:
        figures["math500"] = {verdicts.name: verdicts.as_json() for verdicts in math500_verdicts(math500)}
    return {**figures, "seconds": time.perf_counter() - start}


def shown(figures: dict[str, Any]) -> str:
    """The figures as Markdown: a row a grader, every error, the real golds."""
    lines = ["| pairs | grader | same | different | false right | false wrong | ungradable |", "|---|" + 6 * "---|"]
    for kind, graders in figures["pairs"].items():
        for name, r in graders.items():
            right, wrong = (f"{r[key]} ({r[key + '_rate']:.1%})" for key in ("false_right", "false_wrong"))
            counts = (kind, f"`{name}`", r["same"], r["different"], right, wrong, r["ungradable"])
            lines.append(f"| {' | '.join(map(str, counts))} |")
    lines += ["", *(f"disagreement, {kind}: {rate:.1%}" for kind, rate in figures["disagreement"].items()), ""]
    lines += ["| grader | error | gold | completion | read as |", "|---|---|---|---|---|"]
    for e in figures["errors"]:
        cells = (_code(e["gold"]), _code(e["text"]), _code(e["answer"]))
        lines.append(f"| `{e['grader_class']}` | false {'wrong' if e['same'] else 'right'} | {' | '.join(cells)} |")
    for name, real in figures.get("math500", {}).items():
        errs = f"first errs {real['first_errs']}, second errs {real['second_errs']}, disagree {real['disagree']}"
        lines += ["", f"MATH-500 {name}: {real['answers']} answers, {errs}"]
        lines += [f"- {_code(e['gold'])} {_code(e['text'])}: {e['first']}, {e['second']}" for e in real["listed"]]
    return "\n".join(lines)


def _code(text: str | None, width: int = 60) -> str:
    if text is None:
        return "nothing"
    line = text.replace("\n", "⏎").replace("|", "\\|")
    return f"`{line if len(line) <= width else line[: width - 1] + '…'}`"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.graders", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--math500", type=Path, help="math500_test.jsonl, to measure on its golds as well")
    commands = parser.add_subparsers(dest="command")
    fuzzing = commands.add_parser("fuzz", help="fuzzed texts through every grader")
    fuzzing.add_argument("--texts", type=int, default=100_000)
    fuzzing.add_argument("--graders", nargs="+", choices=GRADERS, default=list(GRADERS))
    fuzzing.add_argument("--seed", type=int, default=0)
    fuzzing.add_argument("--deadline", type=float, default=5.0, help="seconds a comparison may take")
    fuzzing.add_argument("--json", type=Path, dest="fuzz_json", help="where the figures go")
    other = commands.add_parser("recorded", help="other people's recorded completions, graded again")
    other.add_argument("paths", nargs="+", type=Path, help="JSONL files or reports in Markdown, or folders of them")
    other.add_argument("--grader", choices=GRADERS, default="numeric")
    other.add_argument("--json", type=Path, dest="recorded_json", help="where the figures go")
    gold = commands.add_parser("gold", help="a data set's own solutions as recorded completions")
    gold.add_argument("--task", choices=sorted(FIELDS), required=True)
    gold.add_argument("--data", type=Path, required=True)
    gold.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    if given.command == "gold":
        print(f"{write_gold(given.task, given.data, given.out)} completions in {given.out}")
        return
    figures: Any
    if given.command == "fuzz":
        figures = [fuzzed.as_json() for fuzzed in fuzz_all(given.graders, given.texts, given.seed, given.deadline)]
        report, path = json.dumps(figures, indent=2), given.fuzz_json
    elif given.command == "recorded":
        compared = compare_all(given.paths, given.grader)
        figures = [source.as_json() for source in compared]
        report, path = shown_recorded(compared), given.recorded_json
    else:
        figures = measure(given.math500)
        report, path = shown(figures), given.json
    print(report)
    if path is not None:
        text = json.dumps(figures, indent=2, ensure_ascii=False) + "\n"
        path.write_text(text, "utf-8", errors="backslashreplace")  # a lone surrogate becomes JSON's escape of it


if __name__ == "__main__":
    main()
