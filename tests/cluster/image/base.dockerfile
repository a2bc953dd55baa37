# Stands in for the official slim image of Airflow where no registry of images can be reached: Debian's Python, the
# user, the folders and the variables that the Dockerfile builds on, and Airflow at the version it asks for.
FROM localhost/debian:bookworm
# hadolint ignore=DL3008,DL4006
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates dumb-init curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 50000 --gid 0 --create-home --home-dir /home/airflow airflow \
    && mkdir -p /opt/airflow/dags /opt/airflow/logs /opt/airflow/plugins \
    && chown -R airflow:0 /opt/airflow \
    && chmod -R g=u /opt/airflow
ARG AIRFLOW_VERSION
ENV AIRFLOW_VERSION=${AIRFLOW_VERSION} \
    AIRFLOW_HOME=/opt/airflow \
    HOME=/home/airflow \
    LANG=C.UTF-8 \
    PATH=/home/airflow/.local/bin:/usr/local/bin:/usr/bin:/bin
USER airflow
COPY requirements-image.txt /tmp/pins.txt
# An older pip refuses a package that is pinned as "celery" and asked for as "celery[redis]"; the official image has a
# newer one.
RUN python3 -m venv /home/airflow/.local \
    && pip install --no-cache-dir --quiet pip==25.3 \
    && sed -n 's/^\([a-z0-9].*==.*\) \\$/\1/p' /tmp/pins.txt > /tmp/constraints.txt \
    && pip install --no-cache-dir -c /tmp/constraints.txt "apache-airflow==${AIRFLOW_VERSION}"
WORKDIR /opt/airflow
ENTRYPOINT ["/usr/bin/dumb-init", "--"]
CMD ["airflow", "version"]
