# The image of the Jobs (train, gate, score-file) and of the MLflow server: what makes, judges or applies models in files.
#
#   docker build -f k8s/images/jobs.Dockerfile -t gauntlet-jobs:local .
#
# Packages are those of uv.lock, with their hashes. The root is only read: what a Job writes goes to /tmp and to
# GAUNTLET_FOLDER, which are volumes. jobs.Dockerfile.dockerignore keeps everything else of the checkout out.
FROM python:3.11-slim
LABEL org.opencontainers.image.title="gauntlet-jobs" org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /app
COPY pyproject.toml uv.lock ./
# uv is needed in this step only. Bytecode is made here: on a read-only root it could never be kept, and importing mlflow
# would compile it in every Job.
RUN python -m venv /uv \
    && /uv/bin/python -m pip install --no-cache-dir uv==0.13.9 \
    && UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never \
       /uv/bin/uv sync --quiet --frozen --no-cache --no-install-project --no-default-groups --group training \
    && rm -r /uv
COPY gauntlet.py ./
COPY bentos bentos
COPY k8s k8s
COPY service service
COPY training training
COPY validation validation
# Whatever umask the checkout was made under.
RUN chmod -R a+rX gauntlet.py bentos k8s service training validation
# One thread: a Job has the cores that its limits say, and linear algebra would start a thread for each core of the node.
ENV PATH=/app/.venv/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    GAUNTLET_FOLDER=/var/lib/gauntlet
USER 10001:10001
ENTRYPOINT ["python", "gauntlet.py"]
CMD ["--help"]
