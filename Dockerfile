# The learner:  docker build --target learner --tag tracer .
#   docker run --gpus all --volume "$PWD/runs:/work/runs" tracer train demo --speakers.device cuda --out runs/demo
# The server:   docker build --target server --tag tracer-server .
#   docker run --gpus all --ipc host --publish 31000:31000 tracer-server \
#     --model-path Qwen/Qwen2.5-1.5B-Instruct --dtype bfloat16 --context-length 4096 --mem-fraction-static 0.85
# Weights reach a server in another container through a folder that both see: --backend.weights_folder.
FROM python:3.11-slim AS learner
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/tracer
COPY pyproject.toml constraints.txt setup.cfg README.md LICENSE ./
RUN pip install --constraint constraints.txt torch==2.13.0
COPY tracer_env tracer_env
COPY tracer_agents tracer_agents
COPY benchmarks benchmarks
COPY configs configs
RUN pip install --constraint constraints.txt --editable '.[benchmarks,ray]' \
    && useradd --create-home --uid 1001 tracer && mkdir -p /work/runs && chown tracer /work/runs
USER 1001
WORKDIR /work
ENTRYPOINT ["tracer"]
CMD ["doctor"]

FROM nvidia/cuda:12.8.1-devel-ubuntu24.04 AS server
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/sglang/bin:$PATH
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends python3-dev python3-venv libnuma1 \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/sglang && pip install sglang==0.5.23 && useradd --create-home --uid 1001 tracer
USER 1001
EXPOSE 31000
ENTRYPOINT ["python", "-m", "sglang.launch_server", "--host", "0.0.0.0", "--port", "31000"]
CMD ["--help"]
