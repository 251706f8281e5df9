# The worker, one for each GPU. From the root of the repository:
#   docker build -f docker/worker.Dockerfile -t model-growth-worker .
#   docker build -f docker/worker.Dockerfile --target cpu --build-arg PIP_EXTRA_INDEX_URL=... -t model-growth-worker:cpu .
# torch's wheels bring CUDA's libraries and the host brings the driver, so the plain base image serves GPUs and CPUs. For
# the cpu target PIP_EXTRA_INDEX_URL names an index with torch's wheels for CPUs alone; what comes from it is hashed too.
# BASE_IMAGE may add a digest (python@sha256:...) or name a mirror; the locks are for CPython 3.11 on x86-64 Linux.
ARG BASE_IMAGE=python:3.11.14-slim-bookworm

FROM ${BASE_IMAGE} AS build
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src

# Before the sources, so that a change to them leaves the layer with torch as it is.
FROM build AS build-cpu
ARG PIP_EXTRA_INDEX_URL=
COPY docker/locks/worker-cpu.txt lock.txt
RUN pip install --no-cache-dir --require-hashes --no-deps -r lock.txt
COPY pyproject.toml README.md LICENSE ./
COPY growth growth
COPY jobs jobs
COPY storage storage
COPY telemetry telemetry
COPY service service
COPY worker worker
COPY client client
RUN pip install --no-cache-dir --no-index --no-build-isolation --no-deps .

FROM build AS build-cuda
COPY docker/locks/worker-cuda.txt lock.txt
RUN pip install --no-cache-dir --require-hashes --no-deps -r lock.txt
COPY pyproject.toml README.md LICENSE ./
COPY growth growth
COPY jobs jobs
COPY storage storage
COPY telemetry telemetry
COPY service service
COPY worker worker
COPY client client
RUN pip install --no-cache-dir --no-index --no-build-isolation --no-deps .

FROM ${BASE_IMAGE} AS runtime
RUN useradd --uid 10001 --create-home grow
# A job's files come from its storage alone, never from a model hub.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GROW_LOG_FORMAT=json \
    HF_HUB_OFFLINE=1 \
    HF_HOME=/tmp/huggingface \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /home/grow
USER 10001:10001
# Asks the main process, which answers also while its child works on a job.
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s \
    CMD ["sh", "-c", "celery -A worker.app inspect ping --timeout 10 --destination celery@$HOSTNAME"]
CMD ["celery", "--quiet", "-A", "worker.app", "worker", "--loglevel", "INFO", "--concurrency", "1"]

FROM runtime AS cpu
COPY --from=build-cpu /opt/venv /opt/venv

FROM runtime AS cuda
COPY --from=build-cuda /opt/venv /opt/venv
