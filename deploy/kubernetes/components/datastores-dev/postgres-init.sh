#!/usr/bin/env bash
# Run by the image on the first start of an empty volume: one database and one role per service,
# so that neither can read the other's tables.
set -euo pipefail

create() { # create NAME PASSWORD
  psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres -v name="$1" -v password="$2" <<'SQL'
create role :"name" login password :'password';
create database :"name" owner :"name" encoding 'UTF8' template template0;
revoke connect on database :"name" from public;
SQL
}

create chat "$CHAT_DB_PASSWORD"
create notify "$NOTIFY_DB_PASSWORD"
