"""Makes tracer-tiny, the embedded model: tokenizer, weights and model card, from nothing but this repository.

    python scripts/train_tiny.py --out tracer_agents/assets/tracer-tiny

Three phases of supervised training on generated demonstrations: short stories, the full mix, and a finish on
the final mix in which half of the dialogues quote the model's own solutions and reviews. The prompts are those
of ``tracer_agents.speakers.prompts`` in the style ``tiny``; that both sides agree token for token is asserted.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from tiny_card import evaluate, generate, write_card
from tiny_demonstrations import TASK, Demonstration, Mix, Played, demonstrations, problems, role_of
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tracer_agents.speakers.prompts import messages
from tracer_env.dialogue import Role

PAD, END, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"
CHAT_TEMPLATE = (
    "{%- for message in messages -%}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
VOCABULARY, POSITIONS = 512, 512
LEVEL = 3  # of the demo, and of what the card reports
SHORT = Mix(levels={1: 0.4, 2: 0.6}, direct=0.1, snap=0.05)
FULL = Mix(levels={1: 0.05, 2: 0.2, 3: 0.75}, direct=0.1, snap=0.05)
FINAL = Mix(levels={1: 0.05, 2: 0.2, 3: 0.75}, direct=0.5, snap=0.3)
SHARE_SHORT, SHARE_FINAL, SHARE_DECAY = 0.06, 0.12, 0.4  # of all steps; the decay of the rate overlaps the phases


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Padded token ids and the mask of the positions that carry loss, both of shape (B, T)."""

    ids: torch.Tensor
    learn: torch.Tensor


def make_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits, trained on demonstrations."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END, USER, ASSISTANT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((text for one in islice(demonstrations(FINAL, seed=seed), 8000) for text in
                                   (*(one.problem.text,), *(said.text for said in one.turns), "Review.", "Revise.")),
                                  trainer)  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def make_model(vocabulary: int) -> LlamaForCausalLM:
    """The architecture: 0.85 million parameters."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=64,
            max_position_embeddings=POSITIONS,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=1,
            attn_implementation="eager",
        )
    )


class Encoder:
    """Turns demonstrations into token ids, each text once."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._encode = tokenizer.backend_tokenizer.encode
        self._user, self._assistant, self._end = tokenizer.convert_tokens_to_ids([USER, ASSISTANT, END])
        self._asks = [self._text("Review."), self._text("Revise.")]

    def _text(self, text: str) -> list[int]:
        return self._encode(text, add_special_tokens=False).ids

    def __call__(self, one: Demonstration) -> tuple[list[int], list[bool]]:
        """(token ids, whether each carries loss): the whole conversation, completions with their end token."""
        ids: list[int] = []
        learn: list[bool] = []
        for said, ask in zip(one.turns, [self._text(one.problem.text), *self._asks], strict=False):
            prompt = [self._user, *ask, self._end, self._assistant]
            completion = [*self._text(said.text), self._end]
            ids += prompt + completion
            learn += [False] * len(prompt) + [said.learn] * len(completion)
        return ids, learn


def assert_prompts_match(tokenizer: PreTrainedTokenizerFast, encode: Encoder, some: Sequence[Demonstration]) -> None:
    """Training sequences are, token for token, what the prompts module and the chat template make of a dialogue."""
    for one in some:
        whole, _ = encode(one)
        texts = [said.text for said in one.turns]
        for turn, text in enumerate(texts):
            shown = messages(
                "tiny",
                question=one.problem.text,
                role=role_of(turn),
                solution=texts[0] if turn else None,
                review=texts[1] if turn == 2 else None,
                answer_format=TASK.answer_format,
            )
            prompt = tokenizer.apply_chat_template(shown, add_generation_prompt=True, return_dict=False)
            completion = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
            if whole[: len(prompt) + len(completion)] != [*prompt, *completion]:
                raise AssertionError(f"training and inference disagree on turn {turn} of {one.problem.text!r}")


def batches(stream: Iterator[Demonstration], encode: Encoder, *, rows: int, rng: random.Random) -> Iterator[Batch]:
    """Batches of similar lengths in random order, padded on the right to a multiple of 8."""
    while True:
        encoded = sorted((encode(one) for one in islice(stream, rows * 32)), key=lambda pair: len(pair[0]))
        starts = list(range(0, len(encoded), rows))
        rng.shuffle(starts)
        for start in starts:
            chunk = encoded[start : start + rows]
            width = -(-len(chunk[-1][0]) // 8) * 8
            ids = torch.zeros(len(chunk), width, dtype=torch.long)  # 0 is the padding token
            learn = torch.zeros(len(chunk), width, dtype=torch.bool)
            for row, (tokens, mask) in enumerate(chunk):
                ids[row, : len(tokens)] = torch.tensor(tokens)
                learn[row, : len(mask)] = torch.tensor(mask)
            yield Batch(ids=ids, learn=learn)


def loss_of(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy over the positions that carry loss."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state  # (B, T, H)
        picked = batch.learn[:, 1:]
        logits = model.lm_head(hidden[:, :-1][picked])
    return torch.nn.functional.cross_entropy(logits.float(), batch.ids[:, 1:][picked])


class Trainer:
    """The model with its two optimisers: Muon for the matrices of the layers, AdamW for everything else."""

    def __init__(self, model: LlamaForCausalLM, *, steps: int, peak: float) -> None:
        matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
        others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
        self.model, self.steps, self.peak, self.step = model, steps, peak, 0
        self._muon = torch.optim.Muon(matrices, lr=peak, weight_decay=0.01, momentum=0.95)
        self._adam = torch.optim.AdamW(others, lr=peak, betas=(0.9, 0.98), weight_decay=0.0)
        self.tokens = 0

    def rate(self) -> float:
        """The learning rate: a warm-up, a plateau, then a linear decay to 3% over the last steps."""
        warm = min(1.0, (self.step + 1) / 100)
        left = (self.steps - self.step) / (SHARE_DECAY * self.steps)
        return self.peak * warm * max(0.03, min(1.0, left))

    def learn(self, batch: Batch) -> float:
        """One optimiser step; returns the loss."""
        for optimiser in (self._muon, self._adam):
            optimiser.zero_grad()
            for group in optimiser.param_groups:
                group["lr"] = self.rate()
        loss = loss_of(self.model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._muon.step()
        self._adam.step()
        self.step += 1
        self.tokens += batch.ids.numel()
        return loss.item()


def self_play(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, count: int, *, seed: int) -> list[Played]:
    """Solutions and reviews that the model samples for training problems."""
    drawn = list(islice(problems(FINAL, seed=seed), count))
    asked = [{"question": one.text, "role": Role.PROPOSER, "solution": None, "review": None} for one in drawn]
    solutions = generate(model, tokenizer, asked, temperature=1.0, seed=seed)
    asked = [{**one, "role": Role.REVIEWER, "solution": text} for one, text in zip(asked, solutions, strict=True)]
    reviews = generate(model, tokenizer, asked, temperature=1.0, seed=seed + 1)
    return [Played(*one) for one in zip(drawn, solutions, reviews, strict=True)]


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes the folder and asserts that it loads back to the same model and the same encodings."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    again, loaded = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    for one in islice(demonstrations(FINAL, seed=1), 200):
        for text in (one.problem.text, *(said.text for said in one.turns), "Ünïcode → 123,456 \n\n bytes\0"):
            if (
                again(text)["input_ids"] != tokenizer(text)["input_ids"]
                or again.decode(again(text)["input_ids"]) != text
            ):
                raise AssertionError(f"the reloaded tokenizer reads {text!r} differently")
    for name, weight in model.state_dict().items():
        if not torch.equal(weight, loaded.state_dict()[name]):
            raise AssertionError(f"the reloaded weight {name} differs")


def train(out: Path, *, steps: int, seed: int, rows: int, peak: float, smoke: bool, checkpoints: Path | None) -> None:
    """Trains, evaluates and writes the model folder."""
    started = time.monotonic()
    torch.manual_seed(seed)
    tokenizer = make_tokenizer(seed)
    encode = Encoder(tokenizer)
    assert_prompts_match(tokenizer, encode, list(islice(demonstrations(FINAL, seed=seed), 200)))
    model = make_model(len(tokenizer))
    trainer = Trainer(model, steps=steps, peak=peak)
    final_start = math.floor(steps * (1 - SHARE_FINAL))
    phases = [
        ("short", SHORT, math.floor(steps * SHARE_SHORT)),
        ("full", FULL, final_start),
        ("final", FINAL, steps),
    ]
    smooth, said = 0.0, 0.0
    for number, (name, mix, until) in enumerate(phases):
        played = self_play(model, tokenizer, 32 if smoke else 8192, seed=seed + 9) if name == "final" else []
        stream = demonstrations(mix, seed=seed + 100 * (number + 1), played=played)
        for batch in batches(stream, encode, rows=rows, rng=random.Random(seed)):
            if trainer.step >= until:
                break
            loss = trainer.learn(batch)
            smooth = loss if smooth == 0 else 0.98 * smooth + 0.02 * loss
            seconds = time.monotonic() - started
            if trainer.step % 100 == 0:
                rate = trainer.tokens / seconds
                print(f"{name} {trainer.step}/{steps} loss {smooth:.4f} {rate:.0f} tok/s {seconds:.0f} s", flush=True)
            if checkpoints and seconds - said > 240:
                said = seconds
                save(model, tokenizer, checkpoints / f"step_{trainer.step}")
                measured = evaluate(model, tokenizer, count=128, seed=seed, level=LEVEL)
                print(json.dumps(measured), flush=True)
        if checkpoints:
            save(model, tokenizer, checkpoints / f"end_{name}")
    out.mkdir(parents=True, exist_ok=True)
    save(model, tokenizer, out)
    seconds = time.monotonic() - started
    measured = evaluate(model, tokenizer, count=16 if smoke else 1024, seed=seed + 1, level=LEVEL, any_of=8)
    print(json.dumps(measured))
    write_card(
        out, measured, model, mix=FINAL, level=LEVEL, steps=steps, tokens=trainer.tokens, seconds=seconds, seed=seed
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--steps", type=int, default=9000, help="optimiser steps")
    parser.add_argument("--rows", type=int, default=32, help="dialogues a step")
    parser.add_argument("--peak", type=float, default=5e-3, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoints", type=Path, help="keep a checkpoint every few minutes in this folder")
    parser.add_argument("--smoke", action="store_true", help="ten steps, to see that everything works")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    train(given.out, steps=10 if given.smoke else given.steps, seed=given.seed, rows=given.rows, peak=given.peak,
          smoke=given.smoke, checkpoints=given.checkpoints)  # fmt: skip


if __name__ == "__main__":
    main()
