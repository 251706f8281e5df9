# The HTTP API, without torch. From the root of the repository:
#   docker build -f docker/service.Dockerfile -t model-growth-service .
# BASE_IMAGE may add a digest (python@sha256:...) or name a mirror; the lock is for CPython 3.11 on x86-64 Linux.
ARG BASE_IMAGE=python:3.11.14-slim-bookworm

FROM ${BASE_IMAGE} AS build
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
# Before the sources, so that a change to them leaves the layer with everything they depend on as it is.
COPY docker/locks/service.txt lock.txt
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

FROM ${BASE_IMAGE}
RUN useradd --uid 10001 --create-home grow
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GROW_HOST=0.0.0.0 \
    GROW_PORT=8000 \
    GROW_LOG_FORMAT=json
WORKDIR /home/grow
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "-m", "service"]
