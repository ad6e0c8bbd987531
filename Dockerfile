# musubi-tui for a GPU pod. Uses the torch of the base image and installs everything else beside it.
#
#   docker build -t musubi-tui .
#   docker run --rm -it --gpus all --stop-timeout 120 -v "$PWD/workspace:/workspace" musubi-tui bash
#
# Another base with torch >= 2.6 and Python 3.11 to 3.13:   docker build --build-arg BASE=image:tag -t musubi-tui .
# --stop-timeout: `docker stop` waits ten seconds by default, and saving the state of a large run may take longer.
ARG BASE=pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime
FROM ${BASE}

# Runs, states and downloaded models belong on the volume that survives the pod.
ENV MUSUBI_TUI_HOME=/workspace/musubi-tui \
    HF_HOME=/workspace/huggingface \
    LANG=C.UTF-8 \
    PIP_BREAK_SYSTEM_PACKAGES=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /opt/musubi-tui
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY engine engine
COPY musubi_tui musubi_tui
COPY presets presets

# The pin of torch becomes the version that is there, so that pip leaves it alone.
RUN python3 -c 'import importlib.metadata as m; print("torch==" + m.version("torch"))' > /tmp/constraints.txt \
    && sed '/^torch==/d' constraints.txt >> /tmp/constraints.txt \
    && python3 -m pip install --no-cache-dir --compile -c /tmp/constraints.txt '.[demo]' \
    && rm /tmp/constraints.txt \
    && musubi-tui --version

COPY docker/entrypoint /usr/local/bin/musubi-tui-entrypoint
WORKDIR /workspace
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/musubi-tui-entrypoint"]
CMD ["sleep", "infinity"]
