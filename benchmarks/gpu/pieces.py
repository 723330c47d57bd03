"""Weights in pieces that can be carried to a machine that nothing can be fetched on."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from tracer_env.errors import DataError

PIECE_BYTES = 60_000_000  # of a call that may carry 64 MB


def split(gguf: Path, into: Path, piece_bytes: int = PIECE_BYTES) -> list[Path]:
    """Cuts a file into pieces of at most ``piece_bytes``; ``pieces.json`` holds their names and digests."""
    into.mkdir(parents=True, exist_ok=True)
    whole, pieces = hashlib.sha256(), {}
    with gguf.open("rb") as file:
        while block := file.read(piece_bytes):
            name = f"piece-{len(pieces):03}"
            (into / name).write_bytes(block)
            whole.update(block)
            pieces[name] = hashlib.sha256(block).hexdigest()
    listed = {"file": gguf.name, "sha256": whole.hexdigest(), "pieces": pieces}
    (into / "pieces.json").write_text(json.dumps(listed, indent=1), encoding="utf-8")
    return [into / name for name in pieces]


def join(pieces: Path, gguf: Path) -> list[str]:
    """Joins the pieces in a folder into a file, once all are there; returns the names of those that are not.

    Raises:
        DataError: a piece, or the whole, is not what was cut.
    """
    listed = json.loads((pieces / "pieces.json").read_text(encoding="utf-8"))
    missing = [name for name in listed["pieces"] if not (pieces / name).is_file()]
    if missing:
        return missing
    unfinished, whole = gguf.with_name(gguf.name + ".part"), hashlib.sha256()
    gguf.parent.mkdir(parents=True, exist_ok=True)
    with unfinished.open("wb") as out:
        for name, sha in listed["pieces"].items():
            block = (pieces / name).read_bytes()
            if hashlib.sha256(block).hexdigest() != sha:
                unfinished.unlink()
                raise DataError(f"{pieces / name}: not the piece that was cut; carry it again")
            whole.update(block)
            out.write(block)
    if whole.hexdigest() != listed["sha256"]:
        unfinished.unlink()
        raise DataError(f"{pieces / 'pieces.json'}: the pieces do not make the file that was cut; split it again")
    unfinished.rename(gguf)
    return []


def convert(gguf: Path, folder: Path, dtype: str = "bfloat16") -> None:
    """An ordinary model folder of a GGUF file, dequantised; needs the package gguf."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    loaded: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = loaded.config
    if hasattr(config, "quantization_config"):  # the weights are whole now
        del config.quantization_config
    head, embedding = loaded.get_output_embeddings().weight, loaded.get_input_embeddings().weight
    config.tie_word_embeddings = torch.equal(head, embedding)
    model: Any = type(loaded)(config)  # what was read from GGUF refuses to be saved
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.to(getattr(torch, dtype)).save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    unfinished.rename(folder)
