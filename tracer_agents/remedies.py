"""What to do about a finding of the doctor that is not passed."""

from typing import Final

from tracer_agents.generation.gate import Status

OTHERWISE: Final = "nothing needs to be done for settings that do not use it; else see docs/howto/sglang.md"
# By how a finding's name begins or, of a server's check, how it goes on after the address.
_FAILED: Final = {
    "backend sglang": "make venv-sglang, or --python FILE with the interpreter of an environment that has SGLang; or "
    "set --backend.name transformers, which needs no server",
    "speakers.device": "--speakers.device auto takes what is there; for a GPU install its driver and a CUDA build of "
    "torch",
    "memory": "set --gspo.micro_batch_tokens or --backend.batch_size lower, or --speakers.lora_rank 32; take a smaller "
    "model, or run the server on another machine",
    "servers": "do what the message says, and ask again; a server that is not there is started by tracer serve MODEL",
    "tokenizer": "serve the folder of the learner's own model: tracer serve takes its tokenizer along",
    "weight label": "stop other clients of the server, or restart it: somebody else has changed its weights",
    "log-probs": "serve the same model in the same dtype; for rounding alone raise --backend.parity_tolerance",
    "sampling": "restart the server without penalties, top-p or top-k: samples must come from the policy itself",
    "samples are diverse": "restart the server: it answers copies of a prompt from one random state",
    "end tokens": "serve the folder of the learner's own model, whose generation_config.json names the end tokens",
    "prefix cache": "restart the server with --disable-radix-cache",
    "adapter is applied": "restart it with tracer serve MODEL --adapters",
    "weights are swapped": "restart the server; if it stays so, update SGLang to the version in "
    "constraints-sglang-cpu.txt",
}
_NOT_APPLICABLE: Final = {
    "GPU": "nothing, on a CPU; for a GPU install its driver and a CUDA build of torch",
    "backend sglang": "nothing, unless settings name --backend.name sglang; then make venv-sglang",
    "memory": "download it first (hf download MODEL) and name its folder with --speakers.model",
    "sampling": "nothing: a greedy policy cannot be compared in this way",
    "samples are diverse": "nothing: the policy itself is nearly certain of these answers",
    "adapter is applied": "nothing: this server needs no adapters",
    "prefix cache": "nothing: without a cache nothing old can be read",
    "tokens are counted": "token numbers, and with them prices, are estimates; take a server that returns usage",
    "log-probabilities": "signals and beliefs go without them; take a server that returns logprobs where they matter",
    "model is listed": "check the spelling of --speakers.model; some servers answer to names that they do not list",
    "answers": "check --backend.url, then tracer doctor again",
}


def remedy_of(name: str, status: Status) -> str:
    """What to do about a finding; empty where it is passed.

    Args:
        name: of the finding; of a server's check the address and the check's own name.
        status: passed, failed or not applicable.
    """
    if status == "passed":
        return ""
    texts = _FAILED if status == "failed" else _NOT_APPLICABLE
    return next((text for key, text in texts.items() if _is_of(name, key)), OTHERWISE)


def _is_of(name: str, key: str) -> bool:
    """Whether a name begins with a key, or does so after the address of a server or the label of a model."""
    return name.startswith(key) or f" {key}" in name or f".{key}" in name
