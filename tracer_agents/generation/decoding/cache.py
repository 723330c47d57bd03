"""Keys and values of rows that come and go: slots are taken in place, and a step writes its column and no more."""

from dataclasses import dataclass

import torch
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

_KNOWN_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)


def can_come_and_go(model: PreTrainedModel) -> bool:
    """Whether rows of the model's cache can be moved: all its layers keep a key and a value per token.

    Layers with a recurrent state, chunked attention or an index of their own cannot.
    """
    if getattr(model, "_is_stateful", False):
        return False
    layers = DynamicCache(config=model.config).layers
    kinds = getattr(model.config.get_text_config(decoder=True), "layer_types", None) or []
    return bool(layers) and all(type(layer) in _KNOWN_LAYERS for layer in layers) and "chunked_attention" not in kinds


def has_windows(model: PreTrainedModel) -> bool:
    """Whether a layer of the model sees the last few tokens alone, by their columns."""
    return any(getattr(layer, "is_sliding", False) for layer in DynamicCache(config=model.config).layers)


@dataclass(slots=True, kw_only=True)
class _Extent:
    """What part of the buffers is in use, in all layers alike: slots [0, rows) and columns [start, end)."""

    slots: int
    columns: int
    rows: int
    start: int
    end: int


class _RowLayer(DynamicLayer):
    """One layer: buffers of shape (slots, heads, columns, size), of which views are handed out.

    What is in no row is zero or old, and finite, so that a mask hides it.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, extent: _Extent, window: int | None) -> None:
        super().__init__()
        self._extent = extent
        self._window = window
        self.is_sliding = window is not None
        if window is not None:
            self.sliding_window = window

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Makes the buffers."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = self._room(key_states), self._room(value_states)
        self.is_initialized = True

    def _room(self, like: torch.Tensor) -> torch.Tensor:
        return like.new_zeros(self._extent.slots, like.shape[1], self._extent.columns, like.shape[3])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes new columns, (B, heads, new, size) each, behind the last; returns all that may be attended to."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self._extent.end + key_states.shape[-2]
        views = []
        for buffer, states in ((self.keys, key_states), (self.values, value_states)):
            buffer[: self._extent.rows, :, self._extent.end : end] = states
            views.append(buffer[: self._extent.rows, :, self._first() : end])
        return views[0], views[1]

    def _first(self) -> int:
        """The first column that the next token may attend to."""
        extent = self._extent
        return extent.start if self._window is None else max(extent.start, extent.end - self._window + 1)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many keys a step of ``query_length`` tokens sees, and how many before those it does not."""
        first = self._first()
        return self._extent.end - first + query_length, first - self._extent.start

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self._extent.end - self._extent.start

    def get_max_length(self) -> int:
        """The window; -1: none."""
        return self._window or -1

    def resize(self, columns: int, shift: int) -> None:
        """New buffers of ``columns``, in which what is in use lies ``shift`` further right."""
        extent = self._extent
        for name in ("keys", "values"):
            old: torch.Tensor = getattr(self, name)
            new = old.new_zeros(extent.slots, old.shape[1], columns, old.shape[3])
            new[: extent.rows, :, extent.start + shift : extent.end + shift] = old[
                : extent.rows, :, extent.start : extent.end
            ]
            setattr(self, name, new)

    def move(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Copies slots onto others."""
        used = slice(self._extent.start, self._extent.end)
        for buffer in (self.keys, self.values):
            view = buffer[:, :, used]
            view.index_copy_(0, targets, view.index_select(0, sources))

    def arrange(self, columns: torch.Tensor) -> None:
        """Puts column ``columns[row, place]`` of those in use where column ``place`` was, of every row."""
        extent = self._extent
        for buffer in (self.keys, self.values):
            view = buffer[: extent.rows, :, extent.start : extent.end]
            view.copy_(view.gather(2, columns[:, None, :, None].expand_as(view)))

    def take(self, other: "_RowLayer", rows: torch.Tensor, first_slot: int) -> None:
        """Copies rows of another cache into slots from ``first_slot`` on, so that both end in the same column."""
        if not self.is_initialized:
            self.lazy_initialization(other.keys, other.values)
        theirs = slice(other._extent.start, other._extent.end)
        mine = slice(self._extent.end - (theirs.stop - theirs.start), self._extent.end)
        for buffer, source in ((self.keys, other.keys), (self.values, other.values)):
            buffer[first_slot : first_slot + len(rows), :, mine] = source[:, :, theirs].index_select(0, rows)


class RowCache(Cache):
    """The cache of up to ``slots`` rows, aligned on the right: all end in the same column.

    So a row has no gap between its tokens, and windows, position biases and padding masks mean what they mean in a
    batch that is padded on the left. Where the rows are ragged is the mask's to say.

    Args:
        model: whose layers it has.
        slots: the most rows at a time.
        columns: the most tokens before it must grow.
    """

    layers: list[_RowLayer]

    def __init__(self, model: PreTrainedModel, *, slots: int, columns: int) -> None:
        self._extent = extent = _Extent(slots=slots, columns=columns, rows=0, start=0, end=0)
        windows = [getattr(layer, "sliding_window", None) for layer in DynamicCache(config=model.config).layers]
        super().__init__(layers=[_RowLayer(extent, window) for window in windows])

    @property
    def rows(self) -> int:
        """Slots in use: the first ones."""
        return self._extent.rows

    @property
    def used(self) -> slice:
        """Columns in use."""
        return slice(self._extent.start, self._extent.end)

    @property
    def columns(self) -> int:
        """Columns that there is place for."""
        return self._extent.columns

    def begin(self, rows: int) -> None:
        """Opens slots of an empty cache."""
        self._extent.rows = rows

    def advance(self, columns: int) -> None:
        """Counts the columns that a forward pass has written."""
        self._extent.end += columns

    def narrow(self, width: int) -> None:
        """Forgets all but the last ``width`` columns."""
        self._extent.start = self._extent.end - width

    def ensure(self, width: int, room: int) -> int:
        """Makes place for ``width`` columns up to the present end and ``room`` behind it; returns how far that moves.

        Reallocates if it must, and then in such a way that it need not soon again.
        """
        extent = self._extent
        if width <= extent.end and extent.end + 1 <= extent.columns:
            return 0
        end = max(width, extent.end - extent.start)
        shift, columns = end - extent.end, end + max(room, 1)
        for layer in self.layers:
            if layer.is_initialized:
                layer.resize(columns, shift)
        extent.columns = columns
        extent.start += shift
        extent.end = end
        return shift

    def close(self, before: int, gaps: torch.Tensor) -> None:
        """Moves the first ``before`` columns of each row to the right by its gap, (rows,), up to what follows."""
        columns = torch.arange(self._extent.end - self._extent.start, device=gaps.device)
        gaps = gaps.unsqueeze(-1)
        source = columns.where(columns >= before + gaps, (columns - gaps).clamp(min=0))
        for layer in self.layers:
            layer.arrange(source)

    def keep(self, rows: int, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Keeps ``rows`` rows: those in slots ``sources`` move to ``targets``, the others of the first stay."""
        if len(sources):
            for layer in self.layers:
                layer.move(sources, targets)
        self._extent.rows = rows

    def take(self, other: "RowCache", rows: torch.Tensor) -> None:
        """Appends copies of another cache's ``rows``; there must be place for its columns."""
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            mine.take(theirs, rows, self._extent.rows)
        self._extent.rows += len(rows)
