# syntax=docker/dockerfile:1
# One image; nothing of it needs the network at run time but the platforms, and the hub for the first model.
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS build
# Where torch comes from; empty: as `make setup` decides.
ARG TORCH_INDEX_URL=""
# Optional parts, by their names in pyproject.toml: nothing can be added to a container, whose files are read-only.
ARG EXTRAS="remote,lora"
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY scripts scripts
COPY migrations migrations
COPY botbridge botbridge
RUN TORCH_INDEX_URL="$TORCH_INDEX_URL" PIP_NO_CACHE_DIR=1 python scripts/install.py --venv /opt/botbridge --copy
RUN test -z "$EXTRAS" || /opt/botbridge/bin/pip install --no-cache-dir -q -c constraints.txt ".[$EXTRAS]"

FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="botbridge" org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/botbridge /opt/botbridge
RUN mkdir -p /data && chown 10001:10001 /data
ENV PATH=/opt/botbridge/bin:$PATH BOTBRIDGE_HOME=/data PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
# The first start fetches and converts the model; until then the answer is no.
HEALTHCHECK --interval=30s --timeout=10s --start-period=5m --retries=3 \
  CMD ["botbridge", "health"]
ENTRYPOINT ["botbridge"]
CMD ["run"]
