#!/bin/sh
# Brings Lynk's roles and keyspace to a Cassandra cluster; may be run again. A new cluster has one superuser whose password everybody knows: it
# is used once, to make the administrator, and locked by the second text.
#
#   setup.sh HOST PORT TEXTS SECRETS      TEXTS has administrator.cql and roles.cql, SECRETS certificates and passwords
set -eu
umask 077
host=$1 port=$2 texts=$3 secrets=$4
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
# Passwords go through files: arguments and environment can be seen by others.
sign_in() { # NAME PASSWORD_FILE
	printf '[PlainTextAuthProvider]\nusername = %s\npassword = %s\n' "$1" "$(cat "$2")" >"$home/credentials"
}
printf '[auth_provider]\nmodule = cassandra.auth\nclassname = PlainTextAuthProvider\n[ssl]\ncertfile = %s\nvalidate = true\nuserkey = %s\nusercert = %s\n' \
	"$secrets/ca.crt" "$secrets/cassandra_admin.key" "$secrets/cassandra_admin.crt" >"$home/cqlshrc"
printf cassandra >"$home/known"
cql() { cqlsh --ssl --no-color --cqlshrc "$home/cqlshrc" --credentials "$home/credentials" --connect-timeout 10 "$host" "$port" "$@"; }

tries=90
while :; do
	sign_in cassandra_admin "$secrets/cassandra_admin.password"
	if cql -e 'DESCRIBE CLUSTER' >/dev/null 2>"$home/refused"; then break; fi
	sign_in cassandra "$home/known"
	cql -f "$texts/administrator.cql" 2>/dev/null || true
	tries=$((tries - 1))
	if [ "$tries" = 0 ]; then
		cat "$home/refused" >&2
		exit 1
	fi
	sleep 2
done
cql -f "$texts/roles.cql"
