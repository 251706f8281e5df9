# The worker, one for each GPU. From the root of the repository:
#   docker build -f docker/worker.Dockerfile -t model-growth-worker .
# torch's wheels bring CUDA's libraries and the host brings the driver, so the plain base image serves GPUs and CPUs.
# BASE_IMAGE may name one with a CUDA of its own; it needs python3 (3.11 or newer) with venv.
# PIP_EXTRA_INDEX_URL may name an index with wheels of torch for CPUs alone, for a much smaller image.
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}

RUN python3 -m venv /opt/venv && useradd --uid 10001 --create-home grow
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1
WORKDIR /src

# Before the sources, so that a change to them leaves the layer with torch as it is.
ARG PIP_EXTRA_INDEX_URL=
COPY pyproject.toml constraints.txt ./
RUN touch README.md LICENSE && pip install --no-cache-dir --constraint constraints.txt '.[worker]'

COPY README.md LICENSE ./
COPY growth growth
COPY jobs jobs
COPY storage storage
COPY telemetry telemetry
COPY service service
COPY worker worker
COPY client client
RUN pip install --no-cache-dir --no-deps .

# A job's files come from its storage alone, never from a model hub.
ENV GROW_LOG_FORMAT=json \
    HF_HUB_OFFLINE=1 \
    HF_HOME=/tmp/huggingface \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /home/grow
USER 10001:10001
# Asks the main process, which answers also while its child works on a job.
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s \
    CMD ["sh", "-c", "celery -A worker.app inspect ping --timeout 10 --destination celery@$HOSTNAME"]
CMD ["celery", "-A", "worker.app", "worker", "--loglevel", "INFO", "--concurrency", "1"]
