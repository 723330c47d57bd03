"""Makes an embedded model: tokenizer, weights and model card, from nothing but this repository.

    python scripts/train_tiny.py --size tiny --out tracer_agents/assets/tracer-tiny
    python scripts/train_tiny.py --size small --out tracer_agents/assets/tracer-small

Two stages of supervised training on generated demonstrations. The base stage learns short stories, then longer ones;
in the final stage half of the dialogues quote the model's own solutions and reviews. Training stops early, for the
models are to leave room to learn; tracer-tiny's rate is constant, tracer-small's falls to zero in the final stage.
The prompts are those of ``tracer_agents.speakers.prompts`` in the style ``tiny``; that both sides agree token for
token is asserted. Both models have the same tokenizer.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from tiny_card import Cost, Made, evaluate, generate, write_card
from tiny_demonstrations import TASK, Demonstration, Mix, Played, demonstrations, problems, role_of
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tracer_agents.speakers.prompts import prompts_for
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
TEXTS = replace(FULL, direct=0.5, snap=0.3)  # what the tokenizer is trained on
SHORT_STEPS = 420  # of the base stage
WARM_UP_STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One of the embedded models: its shape, how long it is trained, and the number format of its file."""

    width: int
    heads: int
    steps: int  # of the base stage
    final_steps: int
    rate: float
    falling: bool  # whether the rate falls to zero in the final stage
    dtype: torch.dtype


SIZES = {
    "tiny": Size(width=128, heads=2, steps=3565, final_steps=400, rate=5e-3, falling=False, dtype=torch.float32),
    "small": Size(width=256, heads=4, steps=1800, final_steps=600, rate=5e-3, falling=True, dtype=torch.bfloat16),
}


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
    texts: list[str] = []
    for shown in islice(demonstrations(TEXTS, seed=seed), 8000):
        texts += [shown.problem.text, *(turn.text for turn in shown.turns), "Review.", "Revise."]
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def make_model(vocabulary: int, size: Size) -> LlamaForCausalLM:
    """The architecture: 0.85 million parameters at width 128, 3.3 million at 256."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=size.width,
            intermediate_size=3 * size.width,
            num_hidden_layers=4,
            num_attention_heads=size.heads,
            num_key_value_heads=size.heads // 2,
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

    def __call__(self, shown: Demonstration) -> tuple[list[int], list[bool]]:
        """(token ids, whether each carries loss): the whole conversation, completions with their end token."""
        ids: list[int] = []
        learn: list[bool] = []
        for turn, ask in zip(shown.turns, [self._text(shown.problem.text), *self._asks], strict=False):
            prompt = [self._user, *ask, self._end, self._assistant]
            completion = [*self._text(turn.text), self._end]
            ids += prompt + completion
            learn += [False] * len(prompt) + [turn.learn] * len(completion)
        return ids, learn


def assert_prompts_match(tokenizer: PreTrainedTokenizerFast, encode: Encoder, some: Sequence[Demonstration]) -> None:
    """Training sequences are, token for token, what the prompts module and the chat template make of a dialogue."""
    for demonstration in some:
        whole, _ = encode(demonstration)
        texts = [turn.text for turn in demonstration.turns]
        for index, text in enumerate(texts):
            shown = prompts_for("tiny").messages(
                question=demonstration.problem.text,
                role=role_of(index),
                solution=texts[0] if index else None,
                review=texts[1] if index == 2 else None,
                answer_format=TASK.answer_format,
            )
            prompt = tokenizer.apply_chat_template(shown, add_generation_prompt=True, return_dict=False)
            completion = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
            if whole[: len(prompt) + len(completion)] != [*prompt, *completion]:
                raise AssertionError(
                    f"training and inference disagree on turn {index} of {demonstration.problem.text!r}"
                )


def batches(stream: Iterator[Demonstration], encode: Encoder, *, rows: int, rng: random.Random) -> Iterator[Batch]:
    """Batches of similar lengths in random order, padded on the right to a multiple of 8."""
    while True:
        encoded = sorted((encode(shown) for shown in islice(stream, rows * 32)), key=lambda pair: len(pair[0]))
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
    """A model with its two optimisers: Muon for the matrices of the layers, AdamW for everything else.

    The rate is constant after a warm-up; with ``falls_over`` steps it then falls to zero in a straight line.
    """

    def __init__(self, model: LlamaForCausalLM, rate: float, falls_over: int | None = None) -> None:
        matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
        others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
        self._model, self._step = model, 0
        self._rate, self._falls_over = rate, falls_over
        self._muon = torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, momentum=0.95)
        self._adam = torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)

    def learn(self, batch: Batch) -> float:
        """One optimiser step; returns the loss."""
        self._step += 1
        factor = min(1.0, self._step / WARM_UP_STEPS)
        if self._falls_over is not None:
            factor *= max(0.0, 1 - (self._step - 1) / self._falls_over)
        for optimiser in (self._muon, self._adam):
            optimiser.zero_grad()
            for group in optimiser.param_groups:
                group["lr"] = self._rate * factor
        loss = loss_of(self._model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._muon.step()
        self._adam.step()
        return loss.item()


def self_play(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, count: int, *, seed: int) -> list[Played]:
    """Solutions and reviews that the model samples for training problems."""
    drawn = list(islice(problems(FULL, seed=seed), count))
    asked = [{"question": problem.text, "role": Role.PROPOSER, "solution": None, "review": None} for problem in drawn]
    solutions = generate(model, tokenizer, asked, temperature=1.0, seed=seed)
    asked = [
        {**request, "role": Role.REVIEWER, "solution": text} for request, text in zip(asked, solutions, strict=True)
    ]
    reviews = generate(model, tokenizer, asked, temperature=1.0, seed=seed + 1)
    return list(map(Played, drawn, solutions, reviews))


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes the folder and asserts that it loads back to the same model and the same encodings."""
    tokenizer.backend_tokenizer.no_padding()  # batching leaves its padding behind, which would be saved
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    again, loaded = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    for shown in islice(demonstrations(FULL, seed=1), 200):
        for text in (shown.problem.text, *(turn.text for turn in shown.turns), "Ünïcode → 123,456 \n\n bytes\0"):
            if (
                again(text)["input_ids"] != tokenizer(text)["input_ids"]
                or again.decode(again(text)["input_ids"]) != text
            ):
                raise AssertionError(f"the reloaded tokenizer reads {text!r} differently")
    for name, weight in model.state_dict().items():
        if not torch.equal(weight, loaded.state_dict()[name]):
            raise AssertionError(f"the reloaded weight {name} differs")


class Run:
    """One training run: the stages in order, with what they cost so far."""

    def __init__(
        self, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, size: Size, *, seed: int, rows: int
    ) -> None:
        self.model, self.tokenizer, self.size, self.seed, self.rows = model, tokenizer, size, seed, rows
        self.cost = Cost()
        self._encode = Encoder(tokenizer)
        assert_prompts_match(tokenizer, self._encode, list(islice(demonstrations(FULL, seed=seed), 200)))

    def base(self, steps: int) -> None:
        """The short mix, then the full one."""
        trainer = Trainer(self.model, self.size.rate)
        short = min(SHORT_STEPS, steps)
        self._learn(trainer, demonstrations(SHORT, seed=self.seed + 100), "short", short)
        self._learn(trainer, demonstrations(FULL, seed=self.seed + 200), "full", steps - short)

    def final(self, steps: int, plays: int) -> None:
        """The full mix; half of its dialogues quote ``plays`` solutions and reviews that the model samples first."""
        started = time.monotonic()
        played = self_play(self.model, self.tokenizer, plays, seed=self.seed + 9)
        self.cost.seconds += time.monotonic() - started
        stream = demonstrations(FULL, seed=self.seed + 300, played=played)
        trainer = Trainer(self.model, self.size.rate, falls_over=steps if self.size.falling else None)
        self._learn(trainer, stream, "final", steps)

    def _learn(self, trainer: Trainer, stream: Iterator[Demonstration], phase: str, steps: int) -> None:
        recent: list[float] = []
        started = time.monotonic()
        made = batches(stream, self._encode, rows=self.rows, rng=random.Random(self.seed))
        for step, batch in enumerate(islice(made, steps), start=1):
            recent.append(trainer.learn(batch))
            self.cost.tokens += batch.ids.numel()
            if step % 100 == 0:
                seconds = time.monotonic() - started
                print(f"{phase} {step}/{steps}: loss {sum(recent) / len(recent):.4f}, {seconds:.0f} s", flush=True)
                recent.clear()
        self.cost.steps += steps
        self.cost.seconds += time.monotonic() - started


def train(out: Path, name: str, size: Size, *, plays: int, count: int, tries: int, seed: int, rows: int) -> None:
    """Trains from nothing; writes the model and its card to ``out``."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer(seed)
    run = Run(make_model(len(tokenizer), size), tokenizer, size, seed=seed, rows=rows)
    run.base(size.steps)
    run.final(size.final_steps, plays)
    run.model.to(size.dtype)  # as the file holds it: what is measured is what is shipped
    save(run.model, tokenizer, out)
    measured = evaluate(run.model, tokenizer, count=count, seed=seed + 1, level=LEVEL, tries=tries)
    print(json.dumps(measured))
    made = Made(name=f"tracer-{name}", falling=size.falling, mix=FULL, level=LEVEL, cost=run.cost, seed=seed)
    write_card(out, measured, run.model, made)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="tiny", help="which model to make")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--steps", type=int, help="optimiser steps of the base stage, instead of the size's own")
    parser.add_argument("--final-steps", type=int, help="optimiser steps of the final stage, likewise")
    parser.add_argument("--plays", type=int, default=3072, help="dialogues the model plays before the final stage")
    parser.add_argument("--count", type=int, default=1024, help="questions the card's figures are measured on")
    parser.add_argument("--tries", type=int, default=8, help="samples per question for the share with one right")
    parser.add_argument("--rows", type=int, default=32, help="dialogues per step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="a run of seconds, to see that everything works")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    size = SIZES[given.size]
    size = replace(size, steps=given.steps or size.steps, final_steps=given.final_steps or size.final_steps)
    lengths = {name: getattr(given, name) for name in ("plays", "count", "tries", "rows")}
    if given.smoke:
        size, lengths = replace(size, steps=4, final_steps=2), {"plays": 4, "count": 4, "tries": 1, "rows": 4}
    train(given.out, given.size, size, seed=given.seed, **lengths)


if __name__ == "__main__":
    main()
