# One image for the Jobs (train, gate, promote, rollback, score-file), the judge, the shipper, the console and the MLflow server: they share
# their packages (MLflow, SQLAlchemy, SciPy, Plotly), so that a node keeps one image of them and not six. `gauntlet image jobs` builds it.
#
# Packages are those of uv.lock, with their hashes. The root is only read: what a Job writes goes to /tmp and to
# GAUNTLET_FOLDER, which are volumes.
ARG BASE=python:3.11-slim
FROM ${BASE} AS made
WORKDIR /app
COPY pyproject.toml uv.lock ./
# uv is needed in this stage only.
RUN python -m venv /uv \
    && /uv/bin/python -m pip install --quiet --no-cache-dir uv==0.13.9 \
    && UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/gauntlet \
       /uv/bin/uv sync --quiet --frozen --no-cache --no-install-project --no-default-groups --group training --group cluster --group console
COPY . ./
# Modes are set only where they must be, as a file whose mode is set is in this layer once more.
# Bytecode is made here: on a read-only root it could never be kept, and importing mlflow would compile it in every Job.
RUN mv slimming.py /tmp/ \
    && PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=. HOME=/tmp /opt/gauntlet/bin/python /tmp/slimming.py \
       /opt/gauntlet /app/installed.json jobs gauntlet training.train training.tracking validation.gate.run validation.gate.page validation.judge.process \
       service.files.scoring service.prediction_log.shipper service.console.process service.console.app bentos.registry k8s.experiment_map kubernetes.client kubernetes.config mlflow mlflow.server mlflow.server.fastapi_app \
       sklearn.ensemble sklearn.linear_model skl2onnx skops.io pandera plotly psycopg statsmodels.api matplotlib.pyplot \
    && find /app /opt/gauntlet ! -type l \( ! -perm -a=r -o \( -type d -o -perm -u=x \) ! -perm -a=x \) -exec chmod a+rX {} +

FROM ${BASE}
# Layers in the order in which they change: a node that had the image before takes but the last for other code.
COPY --from=made /opt/gauntlet /opt/gauntlet
COPY --from=made /app /app
WORKDIR /app
# One thread: a Job has the cores that its limits say, and linear algebra would start a thread for each core of the node.
ENV PATH=/opt/gauntlet/bin:$PATH \
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
