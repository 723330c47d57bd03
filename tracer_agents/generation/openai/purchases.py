"""Completions that were bought, and what they cost, in one SQLite file that survives kills and is shared by processes.

A completion and its cost are written in one transaction, so there is never the one without the other.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tracer_agents.errors import GenerationFailed
from tracer_agents.generation.openai.orders import ChatCompletion, ChatRequest, Prices, Wording
from tracer_env.errors import ConfigError

FILE = "completions.sqlite"
_VERSION = 1
_WAIT_SECONDS = 60.0  # for another process that is writing
_SCHEMA = """
CREATE TABLE completions (key TEXT PRIMARY KEY, request TEXT NOT NULL, completion TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE purchases (
    id INTEGER PRIMARY KEY, bought TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, url TEXT NOT NULL, model TEXT NOT NULL,
    key TEXT NOT NULL, answered INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, generated_tokens INTEGER NOT NULL,
    money REAL NOT NULL
);
CREATE TABLE totals (tokens INTEGER NOT NULL, money REAL NOT NULL);
INSERT INTO totals VALUES (0, 0.0);
"""


class Purchases:
    """The file of one folder, a context manager; threads may share it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._connection: sqlite3.Connection | None = None
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        """Opens the file, made if need be.

        Raises:
            ConfigError: the folder cannot be used, or the file is something else.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self.path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA synchronous = FULL")
            self._settle()
        except (OSError, sqlite3.Error) as error:
            self.__exit__()
            raise ConfigError(
                f"backend.cache: {self.path} cannot be used ({error}); name another folder, or move the file away"
            ) from error
        return self

    def __exit__(self, *exception: object) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def recall(self, key: str) -> ChatCompletion | None:
        """The completion that was bought under a key."""
        with self._guarded() as connection:
            row = connection.execute("SELECT completion FROM completions WHERE key = ?", (key,)).fetchone()
        return None if row is None else ChatCompletion.from_json(json.loads(row[0]))

    def keep(self, wording: Wording, bought: Sequence[tuple[ChatRequest, ChatCompletion]], prices: Prices) -> None:
        """Writes completions and their cost; when this returns, both are on disk."""
        with self._guarded() as connection, _transaction(connection):
            for request, completion in bought:
                key, body = wording.key(request), json.dumps(wording.fields(request), ensure_ascii=True)
                text = json.dumps(completion.as_json(), ensure_ascii=True)
                connection.execute("INSERT OR IGNORE INTO completions VALUES (?, ?, ?)", (key, body, text))
                tokens = (completion.prompt_tokens, completion.generated_tokens)
                _charge(connection, wording, key, tokens, prices, answered=True)

    def charge(self, wording: Wording, request: ChatRequest, prices: Prices) -> None:
        """Counts an attempt without a usable answer as if it had cost the most that it can."""
        tokens = (request.most_prompt_tokens, request.max_new_tokens)
        with self._guarded() as connection, _transaction(connection):
            _charge(connection, wording, wording.key(request), tokens, prices, answered=False)

    def totals(self) -> tuple[int, float]:
        """Tokens and money that everything in the folder took, by whichever process."""
        with self._guarded() as connection:
            tokens, money = connection.execute("SELECT tokens, money FROM totals").fetchone()
        return tokens, money

    def _settle(self) -> None:
        """Makes the tables of a new file, once, whoever comes first."""
        assert self._connection is not None  # just opened
        with _transaction(self._connection):
            [version] = self._connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"it has version {version} of the format instead of {_VERSION}")

    @contextmanager
    def _guarded(self) -> Iterator[sqlite3.Connection]:
        if self._connection is None:
            raise GenerationFailed("completions are bought inside a 'with' over the engine")
        try:
            with self._turn:
                yield self._connection
        except sqlite3.Error as error:
            raise GenerationFailed(
                f"backend.cache: {self.path}: {error}; nothing is bought that cannot be kept: see to the disk, then "
                "go on with --resume"
            ) from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _charge(
    connection: sqlite3.Connection,
    wording: Wording,
    key: str,
    tokens: tuple[int, int],
    prices: Prices,
    *,
    answered: bool,
) -> None:
    money = prices.of(*tokens)
    connection.execute(
        "INSERT INTO purchases (url, model, key, answered, prompt_tokens, generated_tokens, money)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (wording.url, wording.model, key, answered, *tokens, money),
    )
    connection.execute("UPDATE totals SET tokens = tokens + ?, money = money + ?", (sum(tokens), money))
