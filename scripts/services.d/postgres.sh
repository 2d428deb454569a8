# PostgreSQL from Debian, by TLS only: whoever comes needs a certificate of our CA whose CN is the role, and that role's password.
#
# Roles: postgres_admin (superuser), lynk_migrate, lynk_rooms, lynk_accounts, lynk_notify, lynk_media. Database lynk, owned by lynk_migrate.

postgres_roles=(lynk_migrate lynk_rooms lynk_accounts lynk_notify lynk_media)

# postgres_program NAME prints the path of it, of the newest version that is installed.
postgres_program() {
	local program newest=''
	for program in /usr/lib/postgresql/*/bin/"$1"; do newest=$program; done
	[ -n "$newest" ] && printf '%s\n' "$newest"
}

postgres_fetch() {
	if ! postgres_program initdb >/dev/null || ! postgres_program psql >/dev/null; then install_debian postgresql; fi
}

# PostgreSQL refuses to be root's.
postgres_as=(env)
if [ "$(id -u)" = 0 ]; then postgres_as=(setpriv --reuid=postgres --regid=postgres --init-groups --reset-env); fi

postgres_own() { if [ "$(id -u)" = 0 ]; then chown postgres: "$@"; fi; }

postgres_psql() { # DATABASE, arguments of psql…
	local database=$1
	shift
	PGPASSFILE=$dir/postgres/pgpass PGSSLMODE=verify-full PGSSLROOTCERT=$dir/tls/ca.crt PGSSLCERT=$dir/tls/postgres_admin.crt \
		PGSSLKEY=$dir/tls/postgres_admin.key PGCONNECT_TIMEOUT=5 PSQL_HISTORY=/dev/null \
		"$(postgres_program psql)" -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$(port postgres)" -U postgres_admin -d "$database" "$@"
}

postgres_make() {
	local root=$dir/postgres file
	rm -rf "$root/data"
	install -m 600 "$dir/passwords/postgres_admin" "$root/password"
	postgres_own "$root" "$root/password"
	"${postgres_as[@]}" test -x "$root" || die "the user postgres cannot enter $root: a folder above it is closed"
	# With a password from the first moment: there is no trusted way in at any time.
	"${postgres_as[@]}" "$(postgres_program initdb)" -D "$root/data" -U postgres_admin -A scram-sha-256 --pwfile="$root/password" -E UTF8 \
		--locale=C.UTF-8 --no-sync >"$root/initdb.log" 2>&1 || { cat "$root/initdb.log" >&2 && die "initdb failed"; }
	rm "$root/password"
	cat >>"$root/data/postgresql.conf" <<-END
		listen_addresses = '127.0.0.1'
		port = $(port postgres)
		unix_socket_directories = ''
		ssl = on
		ssl_cert_file = 'server.crt'
		ssl_key_file = 'server.key'
		ssl_ca_file = 'ca.crt'
		ssl_min_protocol_version = 'TLSv1.2'
		password_encryption = 'scram-sha-256'
		max_connections = 200
		shared_buffers = '64MB'
		# What is committed has left the process, so a kill loses nothing; a power cut may.
		fsync = off
		synchronous_commit = on
		# An error must not carry a statement into the log.
		log_min_error_statement = 'panic'
		log_parameter_max_length_on_error = 0
	END
	printf 'hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n' >"$root/data/pg_hba.conf"
	for file in postgres.crt:server.crt postgres.key:server.key ca.crt:ca.crt; do
		install -m 600 "$dir/tls/${file%:*}" "$root/data/${file#*:}"
		postgres_own "$root/data/${file#*:}"
	done
	touch "$root/made"
}

# May be repeated: a server that was set up by an earlier version of this gets the roles that are new.
postgres_roles_sql() {
	local role
	for role in "${postgres_roles[@]}"; do
		printf "SELECT 'CREATE ROLE %s' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '%s') \\gexec\n" "$role" "$role"
		printf "ALTER ROLE %s LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '%s';\n" "$role" "$(cat "$dir/passwords/$role")"
	done
}

postgres_start() {
	local tries looks
	# The children of a server that was killed hold its memory for a moment, and the next one refuses to start beside them.
	for tries in 1 2 3 4 5; do
		launch postgres "${postgres_as[@]}" "$(postgres_program postgres)" -D "$dir/postgres/data"
		# Until it answers, or has ended because it refuses to start.
		for ((looks = 0; looks < 600; looks++)); do
			if ! pid_of postgres >/dev/null; then break; fi
			if postgres_psql postgres -c 'SELECT 1' >/dev/null 2>&1; then return; fi
			sleep 0.1
		done
		sleep 1
	done
	tail -n 20 "$dir/postgres/log" >&2
	die "postgres does not start (after $tries tries)"
}

postgres_up() {
	local role
	server_certificate postgres
	for role in postgres_admin "${postgres_roles[@]}"; do principal "$role"; done
	# For psql: a password in its environment could be read there.
	printf '127.0.0.1:*:*:postgres_admin:%s\n' "$(cat "$dir/passwords/postgres_admin")" >"$dir/postgres/pgpass"
	if [ ! -e "$dir/postgres/made" ]; then postgres_make; fi
	if ! pid_of postgres >/dev/null; then
		port_is_free "$(port postgres)" || die "the port of postgres is taken: $(port postgres)"
		postgres_start
	fi
	wait_for postgres 60 postgres_psql postgres -c 'SELECT 1'
	postgres_roles_sql | postgres_psql postgres --single-transaction -f - >&2 || die "the roles of postgres could not be made"
	if [ ! -e "$dir/postgres/set-up" ]; then
		postgres_psql postgres -c 'CREATE DATABASE lynk OWNER lynk_migrate' \
			-c 'REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC' >&2
		touch "$dir/postgres/set-up"
	fi
}

# INT: clients are disconnected, then it stops.
postgres_down() { stop postgres INT 30; }

postgres_status() { postgres_psql postgres -c 'SELECT 1' >/dev/null 2>&1 && printf 'port %s\n' "$(port postgres)"; }

postgres_env() { printf '%s\n' POSTGRES_HOST=127.0.0.1 "POSTGRES_PORT=$(port postgres)" POSTGRES_DATABASE=lynk; }
