# The scoring image, from a Bento that `gauntlet package` built. The context is the Bento's folder with its models inside:
#
#   cp -rL gauntlet-home/bento context && cp -r gauntlet-home/bentoml/models context/models
#   docker build -f k8s/images/scoring.Dockerfile -t gauntlet-scoring:local context
#
# The Bento's own env/docker/Dockerfile works too and serves with `bentoml serve`; it installs compilers and runs as a user
# whose number the manifests would have to know. This one starts the fast entry.
FROM python:3.11-slim
LABEL org.opencontainers.image.title="gauntlet-scoring" org.opencontainers.image.licenses="Apache-2.0"
COPY env/python/requirements.txt /app/requirements.txt
# uv is needed in this step only. Bytecode is made here, as it could never be kept on a read-only root.
RUN python -m venv /uv \
    && /uv/bin/python -m pip install --no-cache-dir uv==0.13.9 \
    && python -m venv --without-pip /app/.venv \
    && /uv/bin/uv pip install --quiet --no-cache --no-deps --compile-bytecode --link-mode copy \
       --python /app/.venv/bin/python --requirement /app/requirements.txt \
    && rm -r /uv
COPY . /app/bento
# BentoML's model store is readable for its owner only.
RUN chmod -R a+rX /app/bento
WORKDIR /app/bento/src
ENV PATH=/app/.venv/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=true \
    OMP_NUM_THREADS=1 \
    OTEL_SDK_DISABLED=true \
    GAUNTLET_HOST=0.0.0.0
USER 10001:10001
EXPOSE 3000 3001
CMD ["python", "-m", "service.entry"]
