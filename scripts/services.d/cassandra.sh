# One Cassandra 5.0 node from Maven Central: TLS with required client certificates, passwords, and rights per table.
#
# Roles: cassandra_admin (superuser; the default one is locked), lynk_cql_migrate (makes keyspaces, owns and grants what it made),
# lynk_messages (what it is granted). The folder scripts/services.d/cassandra has the jars' list and the program that makes the roles.
# LYNK_CASSANDRA_JVM overrides the JVM options for a measurement.

cassandra_source=$here/services.d/cassandra
cassandra_jvm=${LYNK_CASSANDRA_JVM:--Xms256m -Xmx768m -XX:+UseSerialGC -XX:TieredStopAtLevel=1}

# cassandra_java prints a Java 17: 5.0 runs on 11 and 17 only, because it needs a security manager.
cassandra_java() {
	local java
	for java in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} java /usr/lib/jvm/*17*/bin/java; do
		if "$java" -version 2>&1 | grep -q 'version "17\.'; then
			command -v "$java"
			return
		fi
	done
	return 1
}

# cassandra_jars prints the folder of the jars, one for each content of their list.
cassandra_jars() { printf '%s\n' "$cache/cassandra-$(sha256sum <"$cassandra_source/pom.xml" | cut -c1-12)"; }

cassandra_fetch() {
	local out
	out=$(cassandra_jars)
	cassandra_java >/dev/null || install_debian openjdk-17-jdk-headless
	if [ -d "$out" ]; then return; fi
	command -v mvn >/dev/null || install_debian maven
	say "fetching the jars of Cassandra"
	mkdir -p "$cache"
	rm -rf "$out.part"
	mvn -B -q -Dstyle.color=never -f "$cassandra_source/pom.xml" \
		org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$out.part" -DincludeScope=runtime >&2 ||
		die "the jars of Cassandra could not be fetched"
	rm -f "$out.part"/*-{osx,windows}-*.jar
	mv "$out.part" "$out"
}

# What Cassandra 5.0 reaches inside the JDK, from its own jvm17-server.options.
cassandra_modules() {
	printf -- '--add-exports=%s=ALL-UNNAMED\n' java.base/java.lang.ref java.base/jdk.internal.misc java.base/jdk.internal.ref \
		java.base/sun.nio.ch java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server \
		java.rmi/sun.rmi.transport.tcp java.sql/java.sql jdk.unsupported/sun.misc
	printf -- '--add-opens=%s=ALL-UNNAMED\n' java.base/{java.io,java.lang,java.lang.module,java.lang.reflect} \
		java.base/{java.net,java.nio,java.util,java.util.concurrent,java.util.concurrent.atomic} \
		java.base/jdk.internal.{loader,math,module,ref,reflect,util.jar} java.base/sun.nio.ch \
		jdk.management/com.sun.management.internal
}

cassandra_configure() {
	local root=$dir/cassandra
	mkdir -p "$root/conf/triggers"
	cat "$dir/tls/cassandra.key" "$dir/tls/cassandra.crt" >"$root/conf/server.pem"
	cat >"$root/conf/cassandra.yaml" <<-END
		cluster_name: lynk test
		partitioner: org.apache.cassandra.dht.Murmur3Partitioner
		endpoint_snitch: SimpleSnitch
		num_tokens: 1
		auto_bootstrap: false
		listen_address: 127.0.0.1
		rpc_address: 127.0.0.1
		storage_port: $(port cassandra_storage)
		native_transport_port: $(port cassandra)
		seed_provider:
		  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
		    parameters:
		      - seeds: "127.0.0.1:$(port cassandra_storage)"
		authenticator: PasswordAuthenticator
		authorizer: CassandraAuthorizer
		role_manager: CassandraRoleManager
		# What is granted or changed counts after a second at most; without any cache every statement asks the tables of rights.
		roles_validity: 1000ms
		permissions_validity: 1000ms
		credentials_validity: 1000ms
		# What is answered is in the log's file. With periodic, a killed server forgets up to a tenth of a second of what it answered: the
		# log is a mapped file, but a replay ends at its last marker.
		commitlog_sync: batch
		commitlog_segment_size: 16MiB
		commitlog_total_space: 256MiB
		memtable_heap_space: 128MiB
		memtable_offheap_space: 128MiB
		memtable_allocation_type: offheap_objects
		key_cache_size: 8MiB
		concurrent_reads: 8
		# A writer waits for the sync, which then covers all that wait.
		concurrent_writes: 32
		concurrent_counter_writes: 2
		concurrent_compactors: 1
		hinted_handoff_enabled: false
		auto_snapshot: false
		disk_failure_policy: die
		commit_failure_policy: die
		client_encryption_options:
		  enabled: true
		  optional: false
		  require_client_auth: true
		  ssl_context_factory:
		    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
		  keystore: $root/conf/server.pem
		  truststore: $dir/tls/ca.crt
	END
	cat >"$root/conf/logback.xml" <<-'END'
		<configuration>
		  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
		    <encoder><pattern>%d{ISO8601} %-5level %logger{30} %msg%n</pattern></encoder>
		  </appender>
		  <root level="INFO"><appender-ref ref="out"/></root>
		</configuration>
	END
}

cassandra_start() {
	local root=$dir/cassandra jars java modules
	jars=$(cassandra_jars)
	java=$(cassandra_java)
	mapfile -t modules < <(cassandra_modules)
	# Without cassandra-foreground the daemon closes its output. The waits are for other nodes, of which there are none.
	# shellcheck disable=SC2086  # options, to be split
	launch cassandra "$java" $cassandra_jvm -Xss512k -XX:+ExitOnOutOfMemoryError "${modules[@]}" \
		-javaagent:"$(echo "$jars"/jamm-*.jar)" -Djdk.attach.allowAttachSelf=true -Djava.net.preferIPv4Stack=true \
		-Dcassandra-foreground=yes -Dcassandra.config="file://$root/conf/cassandra.yaml" \
		-Dlogback.configurationFile="$root/conf/logback.xml" -Dcassandra.logdir="$root" -Dcassandra.storagedir="$root/data" \
		-Dcassandra.triggers_dir="$root/conf/triggers" -Dcassandra.skip_wait_for_gossip_to_settle=0 \
		-Dcassandra.ring_delay_ms=0 -Dcassandra.superuser_setup_delay_ms=0 -Dcassandra.shutdown_announce_in_ms=0 \
		-cp "$jars/*" org.apache.cassandra.service.CassandraDaemon
}

# Waits for the server, and makes the roles; it may be repeated.
cassandra_setup() {
	"$(cassandra_java)" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
		-Dlogback.configurationFile="$dir/cassandra/conf/logback.xml" -cp "$(cassandra_jars)/*" \
		"$cassandra_source/Setup.java" "$(port cassandra)" "$dir/tls" "$dir/passwords" >"$dir/cassandra/setup.log" 2>&1
}

cassandra_open() { (exec 3<>"/dev/tcp/127.0.0.1/$(port cassandra)") 2>/dev/null; }

cassandra_up() {
	local role started=''
	server_certificate cassandra
	for role in cassandra_admin lynk_messages lynk_cql_migrate; do principal "$role"; done
	cassandra_configure
	if ! pid_of cassandra >/dev/null; then
		port_is_free "$(port cassandra)" || die "the port of cassandra is taken: $(port cassandra)"
		cassandra_start
		started=yes
	fi
	wait_for cassandra 180 cassandra_open
	if [ -n "$started" ] || [ ! -e "$dir/cassandra/set-up" ]; then
		cassandra_setup || { tail -n 20 "$dir/cassandra/log" "$dir/cassandra/setup.log" >&2 && die "cassandra could not be set up"; }
		touch "$dir/cassandra/set-up"
	fi
}

cassandra_down() { stop cassandra TERM 60; }

cassandra_status() { cassandra_open && printf 'port %s\n' "$(port cassandra)"; }

cassandra_env() {
	printf '%s\n' CASSANDRA_HOST=127.0.0.1 "CASSANDRA_PORT=$(port cassandra)" "CASSANDRA_PID_FILE=$dir/cassandra/pid"
}
