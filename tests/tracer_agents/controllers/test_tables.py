import numpy as np
import pytest

from tracer_agents.controllers.tables import RegretTables
from tracer_env.errors import DataError


def learned() -> RegretTables:
    rng = np.random.default_rng(0)
    tables = RegretTables.empty().grown([(0, 1), (1, 0, 2), ()])
    return RegretTables(
        keys=tables.keys, iterations=12, **{n: rng.random((3, 2)) for n in ("regret", "memory", "strategy", "average")}
    )


def test_growing_keeps_what_is_there():
    tables = learned()
    grown = tables.grown([(1, 0, 2), (7,), (7,), (0, 1), (8,)])
    assert grown.keys == ((0, 1), (1, 0, 2), (), (7,), (8,))
    assert np.array_equal(grown.regret[:3], tables.regret)
    assert grown.strategy[3:].tolist() == [[0.5, 0.5]] * 2
    assert grown.regret[3:].tolist() == [[0.0, 0.0]] * 2
    assert tables.grown([(0, 1)]) is tables
    assert grown.rows([(8,), (0, 1)]).tolist() == [4, 0]


def test_discounting_fades_the_past():
    tables = learned()
    faded = tables.discounted(regret=0.5, average=0.25)
    assert np.array_equal(faded.regret, tables.regret / 2)
    assert np.array_equal(faded.average, tables.average / 4)
    assert np.array_equal(faded.strategy, tables.strategy)


def test_files_are_bit_exact(tmp_path):
    for tables in (learned(), RegretTables.empty()):
        tables.save(tmp_path / "tables.npz")
        read = RegretTables.load(tmp_path / "tables.npz")
        assert (read.keys, read.iterations) == (tables.keys, tables.iterations)
        for name in ("regret", "memory", "strategy", "average"):
            assert getattr(read, name).tobytes() == getattr(tables, name).tobytes()


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "tables.npz"
    with pytest.raises(DataError, match=r"tables\.npz"):
        RegretTables.load(path)
    path.write_text("nothing")
    with pytest.raises(DataError, match=r"tables\.npz"):
        RegretTables.load(path)
    np.savez(path, keys=np.zeros((1, 1), dtype=int))
    with pytest.raises(DataError, match=r"tables\.npz"):
        RegretTables.load(path)
    good = learned()
    np.savez(
        path,
        keys=np.zeros((2, 1), dtype=int),
        lengths=[1, 1],
        iterations=1,
        regret=good.regret,
        memory=good.memory,
        strategy=good.strategy,
        average=good.average,
    )
    with pytest.raises(DataError, match="2 keys"):
        RegretTables.load(path)
