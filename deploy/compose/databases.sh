#!/usr/bin/env bash
# Run once by the postgres image, when its volume is empty: the Iceberg catalog, the warehouse and what people
# decide, apart from Airflow's own database and with a user of their own.
set -euo pipefail
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set password="$MODERATION_DB_PASSWORD" <<'SQL'
CREATE ROLE moderation LOGIN PASSWORD :'password';
CREATE DATABASE catalog OWNER moderation;
CREATE DATABASE warehouse OWNER moderation;
CREATE DATABASE review OWNER moderation;
SQL
