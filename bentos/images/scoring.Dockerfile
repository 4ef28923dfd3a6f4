# The scoring image, from a Bento that `gauntlet package` built: `gauntlet image scoring` lays the context out (the Bento
# with its models inside, slimming.py beside it) and builds it.
#
# The Bento's own env/docker/Dockerfile works too and serves with `bentoml serve`; it installs compilers and runs as a user
# whose number the manifests would have to know. This one starts the fast entry.
ARG BASE=python:3.11-slim
FROM ${BASE} AS made
COPY bento/env/python/requirements.txt /tmp/requirements.txt
# uv is needed in this stage only.
RUN python -m venv /uv \
    && /uv/bin/python -m pip install --quiet --no-cache-dir uv==0.13.9 \
    && python -m venv --without-pip /opt/gauntlet \
    && /uv/bin/uv pip install --quiet --no-cache --no-deps --link-mode copy \
       --python /opt/gauntlet/bin/python --requirement /tmp/requirements.txt
COPY slimming.py /tmp/
COPY code /app/bento/src
# Modes are set only where they must be, as a file whose mode is set is in this layer once more.
# Bytecode is made here, as it could never be kept on a read-only root, and of what the process imports alone.
RUN cd /app/bento/src \
    && PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=. /opt/gauntlet/bin/python /tmp/slimming.py \
       /opt/gauntlet /app/installed.json scoring service.entry service.application service.settings service.supervisor \
       uvloop uvicorn uvicorn.loops.uvloop uvicorn.protocols.http.httptools_impl uvicorn.lifespan.on \
       onnxruntime aiohttp cryptography.hazmat.primitives.asymmetric.ed25519 \
    && find /app /opt/gauntlet ! -type l \( ! -perm -a=r -o \( -type d -o -perm -u=x \) ! -perm -a=x \) -exec chmod a+rX {} +

FROM ${BASE}
# Layers in the order in which they change: a node that had the image before takes but the last of them for another model.
COPY --from=made /opt/gauntlet /opt/gauntlet
COPY --from=made /app /app
COPY bento /app/bento
WORKDIR /app/bento/src
ENV PATH=/opt/gauntlet/bin:$PATH \
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
