"""The script for a lent GPU, at toy size on a CPU: every stage ends in time and goes on with the same command."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.gpu import __main__ as script
from benchmarks.gpu import measure
from benchmarks.gpu.pieces import join, split
from tracer_agents.build import TINY
from tracer_env.errors import ConfigError, DataError

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LAYERS, WIDTH, INNER = 2, 32, 64
TOY = ["--speakers.style", "tiny", "--speakers.device", "cpu", "--evaluation.bootstrap", "100"]
TOY += ["--speakers.proposer_max_new_tokens", "8", "--speakers.reviewer_max_new_tokens", "8"]


@pytest.fixture(scope="module")
def toy_gguf(tmp_path_factory) -> Path:
    """A Llama of two layers with tied embeddings, of random weights, as llama.cpp would keep it."""
    path = tmp_path_factory.mktemp("gguf") / "toy.gguf"
    rng = np.random.default_rng(0)
    letters = sorted(ByteLevel.alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, "th"]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(WIDTH // 2)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *[1] * (len(letters) + 1)])
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template(TEMPLATE)
    shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH), "attn_v": (WIDTH, WIDTH)}
    shapes |= {"attn_output": (WIDTH, WIDTH), "ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH)}
    shapes |= {"ffn_down": (WIDTH, INNER)}
    writer.add_tensor("token_embd.weight", rng.normal(0, 0.05, (len(tokens), WIDTH)).astype(np.float32))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(WIDTH, np.float32))
        for name, shape in shapes.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", rng.normal(0, 0.05, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def questions(tmp_path) -> Path:
    """A file of questions as GSM8K's are."""
    path = tmp_path / "questions.jsonl"
    rows = [
        {"question": f"How many are {n} and {n + 1}?", "answer": f"{n}+{n + 1}\n#### {2 * n + 1}"} for n in range(40)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_pieces_make_the_file_again_and_their_model(toy_gguf, tmp_path, capsys):
    pieces, model = tmp_path / "pieces", tmp_path / "model"
    assert script.main(["split", str(toy_gguf), "--into", str(pieces), "--piece-bytes", "50000"]) == 0
    names = capsys.readouterr().out.split()
    assert len(names) == -(-toy_gguf.stat().st_size // 50_000) > 1
    carried = tmp_path / "carried"
    carried.mkdir()
    for source in sorted(pieces.iterdir())[:2]:
        (carried / source.name).write_bytes(source.read_bytes())
    (carried / "pieces.json").write_bytes((pieces / "pieces.json").read_bytes())

    command = ["join", str(carried), "--model", str(model)]
    assert script.main(command) == script.MORE_TO_DO
    assert capsys.readouterr().out == f"missing: {Path(names[-1]).name}\n"
    assert not model.exists()

    for source in pieces.iterdir():
        (carried / source.name).write_bytes(source.read_bytes())
    assert script.main(command) == 0
    assert model.with_name("model.gguf").read_bytes() == toy_gguf.read_bytes()
    loaded, tokenizer = AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    assert loaded.dtype == torch.bfloat16
    assert loaded.config.tie_word_embeddings
    expected = {tensor.name: tensor.data for tensor in gguf.GGUFReader(str(toy_gguf)).tensors}
    assert torch.equal(
        loaded.get_input_embeddings().weight, torch.tensor(expected["token_embd.weight"]).to(torch.bfloat16)
    )
    shown = tokenizer.apply_chat_template([{"role": "user", "content": "3?"}], tokenize=False)
    assert shown == "<|im_start|>user\n3?<|im_end|>\n"


def test_a_piece_that_was_damaged_on_the_way_is_refused(toy_gguf, tmp_path):
    pieces = split(toy_gguf, tmp_path / "pieces", 50_000)
    pieces[1].write_bytes(b"x" + pieces[1].read_bytes()[1:])
    with pytest.raises(DataError, match="piece-001: not the piece that was cut; carry it again"):
        join(tmp_path / "pieces", tmp_path / "whole.gguf")
    assert not (tmp_path / "whole.gguf").exists()


def test_kernels_stop_in_time_and_go_on(small_folder, tmp_path):
    command = ["kernels", "--model", str(small_folder), "--out", str(tmp_path)]
    assert script.main([*command, "--seconds", "0"]) == script.MORE_TO_DO
    [first] = json.loads((tmp_path / "kernels.json").read_text())["figures"]
    assert first == str(measure.WIDTHS[0])
    assert script.main(command) == 0
    figures = json.loads((tmp_path / "kernels.json").read_text())["figures"]
    assert list(figures) == [str(width) for width in measure.WIDTHS]
    assert all(difference < 1e-4 for row in figures.values() for difference in row.values())


def test_a_kernel_that_ignores_the_padding_is_seen(small_folder, tmp_path, monkeypatch):
    """The fault that is looked for: batches whose mask does not reach the attention."""

    def careless(model, input_ids, attention_mask, width):
        return model(input_ids=input_ids, logits_to_keep=width + 1, use_cache=False).logits[:, -(width + 1) : -1]

    monkeypatch.setattr(measure, "completion_logits", careless)
    assert script.main(["kernels", "--model", str(small_folder), "--out", str(tmp_path)]) == 0
    figures = json.loads((tmp_path / "kernels.json").read_text())["figures"]
    assert all(row["as it is"] > 1e-3 for row in figures.values())


def test_speed_and_memory_are_measured_by_batch_and_for_the_learner(small_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "BATCHES", (1, 2))
    assert script.main(["speed", "--model", str(small_folder), "--out", str(tmp_path), "--", *TOY]) == 0
    figures = json.loads((tmp_path / "speed.json").read_text())["figures"]
    assert list(figures) == ["1", "2", "learner"]
    assert 0 < figures["1"]["tokens"] <= 8
    assert all(row["seconds"] > 0 and row["peak_gib"] > 0 for row in figures.values())


def test_accuracy_is_stopped_and_goes_on_to_its_summary(small_folder, questions, tmp_path):
    command = ["accuracy", "--model", str(small_folder), "--data", str(questions), "--out", str(tmp_path / "out")]
    toy = ["--", *TOY, "--evaluation.questions", "5"]
    assert script.main([*command, "--seconds", "0", *toy]) == script.MORE_TO_DO
    assert json.loads((tmp_path / "out" / "accuracy.json").read_text())["summary"] is None
    assert script.main([*command, *toy]) == 0
    assert json.loads((tmp_path / "out" / "accuracy.json").read_text())["summary"]["after"]["n"] == 5


@pytest.mark.parametrize("method", script.METHODS)
def test_training_is_that_of_the_method(small_folder, questions, tmp_path, method):
    small = {"trainer.steps": 2, "trainer.questions_per_step": 2, "credit.group_size": 2, "trainer.controller_steps": 0}
    small |= {"trainer.checkpoint_every": 1, "controllers.validation_questions": 2, "speakers.lora_rank": 2}
    small |= {"evaluation.questions": 2, "evaluation.certificate_questions": 0, "evaluation.checkpoint_questions": 0}
    small |= {"evaluation.baselines": "false"}
    words = [word for name, value in small.items() for word in (f"--{name}", str(value))]
    command = ["train", method, "--data", str(questions), "--model", str(small_folder), "--out", str(tmp_path / "out")]
    assert script.main([*command, "--", *TOY, *words]) == 0
    report = json.loads((tmp_path / "out" / f"train-{method}.json").read_text())
    assert [row["step"] for row in report["steps"]] == [1, 2]
    assert report["summary"]["after"]["n"] == 2
    adapters = {path.name for path in (tmp_path / "out" / method).rglob("adapters/*")}
    assert adapters == ({"shared"} if method == "grpo" else {"proposer", "reviewer"})


def test_the_study_of_beliefs_is_stopped_and_goes_on_to_its_table(questions, tmp_path):
    out = tmp_path / "out"
    others, row = tmp_path / "others.jsonl", questions.read_text().splitlines()[0]
    others.write_text("".join(row.replace("0 and", f"{n} and") + "\n" for n in range(50, 450)))
    command = ["beliefs", "--model", str(TINY), "--data", str(others), "--test-data", str(questions)]
    command += ["--out", str(out), "--questions", "6", "4", "5", "--draws", "5"]
    toy = ["--speakers.style", "tiny", "--speakers.proposer_max_new_tokens", "48"]
    assert script.main([*command, "--seconds", "0", "--", *toy]) == script.MORE_TO_DO
    assert not (out / "beliefs.json").exists()
    assert script.main([*command, "--", *toy]) == 0
    rules = {row["rule"] for row in json.loads((out / "beliefs.json").read_text())["accuracy"]}
    assert any("tracer, 5 rounds, belief" in rule for rule in rules)
    assert any("pool_votes" in rule for rule in rules)
    [pool] = out.glob("pools/*/gsm8k/seed-0/test.jsonl")
    assert len(pool.read_text("utf-8").splitlines()) == 6
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl")}
    assert script.main([*command, "--", *toy]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl")} == before


def test_what_fails_is_told_and_no_report_is_written(tmp_path, questions):
    command = [
        "accuracy",
        "--model",
        str(tmp_path / "absent"),
        "--data",
        str(questions),
        "--out",
        str(tmp_path / "out"),
    ]
    with pytest.raises(ConfigError, match="tracer_agents eval failed with status 1"):
        script.main(command)
    assert not (tmp_path / "out" / "accuracy.json").exists()
