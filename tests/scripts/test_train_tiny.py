"""The script that makes the embedded model runs from nothing to a folder that loads."""

import subprocess
import sys
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).parents[2]


def test_smoke_writes_a_folder_that_loads_and_a_card_with_its_figures(tmp_path):
    command = [sys.executable, str(ROOT / "scripts/train_tiny.py"), "--smoke", "--out", str(tmp_path / "tiny")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tiny")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "tiny")
    assert tokenizer.eos_token_id == model.generation_config.eos_token_id
    assert model.config.vocab_size == len(tokenizer)
    card = (tmp_path / "tiny" / "README.md").read_text(encoding="utf-8")
    assert f"{sum(weight.numel() for weight in model.parameters()):,} parameters" in card
    assert "| proposer | accuracy, sampled |" in card
