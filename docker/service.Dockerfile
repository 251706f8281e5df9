# The HTTP API, without torch. From the root of the repository:
#   docker build -f docker/service.Dockerfile -t model-growth-service .
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}

RUN python3 -m venv /opt/venv && useradd --uid 10001 --create-home grow
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1
WORKDIR /src

# Before the sources, so that a change to them leaves the layer with everything they depend on as it is.
COPY pyproject.toml constraints.txt ./
RUN touch README.md LICENSE && pip install --no-cache-dir --constraint constraints.txt '.[service]'

COPY README.md LICENSE ./
COPY growth growth
COPY jobs jobs
COPY storage storage
COPY telemetry telemetry
COPY service service
COPY worker worker
COPY client client
RUN pip install --no-cache-dir --no-deps .

ENV GROW_HOST=0.0.0.0 \
    GROW_PORT=8000 \
    GROW_LOG_FORMAT=json
WORKDIR /home/grow
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "-m", "service"]
