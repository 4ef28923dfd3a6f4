# The insight image, from the Bento that explains the models of the scoring Bento: `gauntlet image insight` lays the context
# out (the Bento with its models inside, slimming.py beside it) and builds it.
#
# It is an image of its own, as SHAP, Numba, pandas and scikit-learn are twice what scoring carries, and none of it is
# needed to score.
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
# Bytecode is made here, as it could never be kept on a read-only root, and of what process and workers import alone.
RUN cd /app/bento/src \
    && PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=. HOME=/tmp MPLBACKEND=agg /opt/gauntlet/bin/python /tmp/slimming.py \
       /opt/gauntlet /app/installed.json insight service.insight.process service.insight.application service.insight.worker \
       uvicorn uvicorn.loops.asyncio uvicorn.protocols.http.httptools_impl uvicorn.lifespan.on \
       service.insight.emails.writing service.insight.emails.groq_client groq jinja2 \
       shap skops.io sklearn.ensemble sklearn.linear_model sklearn.pipeline sklearn.preprocessing \
    && find /app /opt/gauntlet ! -type l \( ! -perm -a=r -o \( -type d -o -perm -u=x \) ! -perm -a=x \) -exec chmod a+rX {} +

FROM ${BASE}
# Layers in the order in which they change: a node that had the image before takes but the last of them for another model.
COPY --from=made /opt/gauntlet /opt/gauntlet
COPY --from=made /app /app
COPY bento /app/bento
WORKDIR /app/bento/src
# One thread: a worker explains one row, and linear algebra would start a thread for each core of the node.
ENV PATH=/opt/gauntlet/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=true \
    NUMBA_CACHE_DIR=/tmp/numba \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    OTEL_SDK_DISABLED=true \
    GAUNTLET_INSIGHT_HOST=0.0.0.0
USER 10001:10001
EXPOSE 3004
CMD ["python", "-m", "service.insight.process"]
