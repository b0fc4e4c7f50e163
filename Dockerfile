# Easel in a container.
#   docker build -t easel .                          for CPUs
#   docker build -t easel --build-arg TORCH=cuda .   for NVIDIA GPUs (run with --gpus all)
FROM python:3.11-slim-bookworm

ARG TORCH=cpu
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /easel
COPY requirements.txt .
# The index of CPU builds is a fraction of the size; PyPI's own build is the one for CUDA.
RUN if [ "$TORCH" = cpu ]; then \
        pip install --extra-index-url https://download.pytorch.org/whl/cpu \
            "$(sed -n 's/^torch==\(.*\)$/torch==\1+cpu/p' requirements.txt)"; \
    fi \
    && pip install -r requirements.txt

COPY . .
RUN useradd --create-home --uid 1000 easel \
    && mkdir -p /outputs /models \
    && chown easel: /outputs
USER easel
VOLUME ["/outputs", "/models"]
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
# Add --auth NAME:PASSWORD, or --no-auth where nobody else can reach the port.
ENTRYPOINT ["python", "webui.py", "--host", "0.0.0.0", "--outputs-dir", "/outputs", "--models-dir", "/models"]
