# Redis 7 from Debian, by TLS only: whoever comes needs a certificate of our CA, and a user's password. Any certificate of the CA will
# do: Redis 7 does not look at its name.
#
# Users: redis_admin (everything), lynk_ephemeral (what redis/users.acl says, which is made from the table in bridges/redis). The
# default user is off. Nothing is kept on disk: a server that was killed comes back empty.

redis_fetch() {
	if ! command -v redis-server >/dev/null || ! command -v redis-cli >/dev/null; then install_debian redis-server redis-tools; fi
}

redis_hash() { tr -d '\n' <"$dir/passwords/$1" | sha256sum | cut -c1-64; }

redis_make() {
	local root=$dir/redis
	{
		sed "s/@lynk_ephemeral@/$(redis_hash lynk_ephemeral)/" "$here/services.d/redis/users.acl"
		printf 'user redis_admin on #%s ~* &* +@all\n' "$(redis_hash redis_admin)"
	} >"$root/users.acl"
	cat >"$root/redis.conf" <<-END
		bind 127.0.0.1
		port 0
		tls-port $(port redis)
		tls-cert-file $dir/tls/redis.crt
		tls-key-file $dir/tls/redis.key
		tls-ca-cert-file $dir/tls/ca.crt
		tls-auth-clients yes
		tls-protocols "TLSv1.2 TLSv1.3"
		aclfile $root/users.acl
		dir $root
		save ""
		appendonly no
		maxmemory 64mb
		maxmemory-policy noeviction
		daemonize no
	END
}

# Commands come by the standard input: a password in arguments or environment could be read there.
redis_answers() {
	local answer
	answer=$(printf 'AUTH redis_admin %s\nPING\n' "$(cat "$dir/passwords/redis_admin")" | redis-cli -h 127.0.0.1 -p "$(port redis)" --tls \
		--cacert "$dir/tls/ca.crt" --cert "$dir/tls/redis_admin.crt" --key "$dir/tls/redis_admin.key")
	[ "$answer" = $'OK\nPONG' ]
}

redis_up() {
	server_certificate redis
	principal redis_admin
	principal lynk_ephemeral
	if ! pid_of redis >/dev/null; then
		redis_make
		port_is_free "$(port redis)" || die "the port of redis is taken: $(port redis)"
		launch redis redis-server "$dir/redis/redis.conf"
	fi
	wait_for redis 30 redis_answers
}

redis_down() { stop redis TERM 10; }

redis_status() { redis_answers >/dev/null 2>&1 && printf 'port %s\n' "$(port redis)"; }

redis_env() { printf '%s\n' REDIS_HOST=127.0.0.1 "REDIS_PORT=$(port redis)"; }
