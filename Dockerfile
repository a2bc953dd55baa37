# The deployed image: official Airflow, pinned requirements, this repository's code. docs/aws.md tells how to
# configure it; nothing in it is secret.
#
# The slim base, because the full one's Google and Snowflake providers do not resolve with these pins.
ARG BASE_IMAGE=apache/airflow:slim-3.3.2-python3.12

FROM ${BASE_IMAGE} AS packages
USER airflow
COPY requirements-image.txt /tmp/requirements.txt
# A base of another Airflow stops the build; so does a package whose checksum is not in the file.
RUN { grep -q "^apache-airflow==${AIRFLOW_VERSION} " /tmp/requirements.txt \
      || { echo "BASE_IMAGE has Airflow ${AIRFLOW_VERSION}, not that of requirements-image.txt" >&2; exit 1; }; } \
    && pip install --no-cache-dir --require-hashes -r /tmp/requirements.txt \
    && pip check
# OpenBLAS would start a thread a core in each process, and nothing here multiplies matrices.
ENV PYTHONPATH=/opt/airflow/include:/opt/airflow/plugins \
    OPENBLAS_NUM_THREADS=1 \
    ARROW_DEFAULT_MEMORY_POOL=system \
    AIRFLOW__CORE__LOAD_EXAMPLES=False

# The compiler stays in this stage, and so does its user.
FROM packages AS code
# hadolint ignore=DL3002
USER root
# The compiler's version is Debian's; a pin would only break when Debian fixes it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY include /opt/airflow/include
COPY plugins /opt/airflow/plugins
COPY dags /opt/airflow/dags
# Compiled here, because the running user may not write beside the code.
RUN python -c "from moderation.flatten.native import library; print(library.build())" \
    && python -m compileall -q --invalidation-mode checked-hash /opt/airflow/include /opt/airflow/plugins

FROM packages
COPY --from=code /opt/airflow/include /opt/airflow/include
COPY --from=code /opt/airflow/plugins /opt/airflow/plugins
COPY --from=code /opt/airflow/dags /opt/airflow/dags
# The base made this folder, and gave it to the user who runs: a task could lay a plugin there for all others.
# hadolint ignore=DL3002
USER root
RUN chown root:root /opt/airflow/plugins && chmod 755 /opt/airflow/plugins
# A number, so that Kubernetes can see that it is not root.
USER 50000
