# One Kafka 4.3 broker (KRaft, its own controller) from Maven Central: TLS with required client certificates, SCRAM-SHA-512, rights per topic.
#
# Topics, users and rights are those of scripts/services.d/kafka/table, which is made from the table in bridges/kafka/src/topics.rs and checked
# by a test. Besides: kafka (the broker itself) and kafka_admin, both super users. LYNK_KAFKA_JVM overrides the JVM options for a measurement.

kafka_source=$here/services.d/kafka
kafka_jvm=${LYNK_KAFKA_JVM:--Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1}

# kafka_java prints a Java of version 17 or newer.
kafka_java() {
	local java
	for java in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} java /usr/lib/jvm/*/bin/java; do
		if "$java" -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])'; then
			command -v "$java"
			return
		fi
	done
	return 1
}

# kafka_jars prints the folder of the jars, one for each content of their list.
kafka_jars() { printf '%s\n' "$cache/kafka-$(sha256sum <"$kafka_source/pom.xml" | cut -c1-12)"; }

kafka_users() { awk '$1 == "user" { print $2 }' "$kafka_source/table"; }

kafka_fetch() {
	local out
	out=$(kafka_jars)
	kafka_java >/dev/null || install_debian openjdk-17-jdk-headless
	if [ -d "$out" ]; then return; fi
	command -v mvn >/dev/null || install_debian maven
	say "fetching the jars of Kafka"
	mkdir -p "$cache"
	rm -rf "$out.part"
	mvn -B -q -Dstyle.color=never -f "$kafka_source/pom.xml" \
		org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$out.part" -DincludeScope=runtime >&2 ||
		die "the jars of Kafka could not be fetched"
	mv "$out.part" "$out"
}

# kafka_client USER writes the settings of a Java client.
kafka_client() {
	cat "$dir/tls/$1.key" "$dir/tls/$1.crt" >"$dir/kafka/$1.pem"
	cat >"$dir/kafka/$1.properties" <<-END
		bootstrap.servers=127.0.0.1:$(port kafka)
		security.protocol=SASL_SSL
		sasl.mechanism=SCRAM-SHA-512
		sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="$1" password="$(cat "$dir/passwords/$1")";
		ssl.keystore.type=PEM
		ssl.keystore.location=$dir/kafka/$1.pem
		ssl.truststore.type=PEM
		ssl.truststore.location=$dir/tls/ca.crt
	END
}

kafka_configure() {
	local root=$dir/kafka
	cat "$dir/tls/kafka.key" "$dir/tls/kafka.crt" >"$root/server.pem"
	kafka_client kafka_admin
	cat >"$root/server.properties" <<-END
		process.roles=broker,controller
		node.id=1
		listeners=CLIENT://127.0.0.1:$(port kafka),CONTROLLER://127.0.0.1:$(port kafka_controller)
		advertised.listeners=CLIENT://127.0.0.1:$(port kafka),CONTROLLER://127.0.0.1:$(port kafka_controller)
		controller.listener.names=CONTROLLER
		controller.quorum.bootstrap.servers=127.0.0.1:$(port kafka_controller)
		inter.broker.listener.name=CLIENT
		listener.security.protocol.map=CLIENT:SASL_SSL,CONTROLLER:SSL
		ssl.keystore.type=PEM
		ssl.keystore.location=$root/server.pem
		ssl.truststore.type=PEM
		ssl.truststore.location=$dir/tls/ca.crt
		ssl.enabled.protocols=TLSv1.3,TLSv1.2
		# A SASL_SSL listener takes this with its own prefix only.
		listener.name.client.ssl.client.auth=required
		listener.name.controller.ssl.client.auth=required
		# A certificate is a name on the controller's port, so its names are none that a password has.
		listener.name.controller.ssl.principal.mapping.rules=RULE:^CN=([^,]+).*\$/certificate-\$1/
		sasl.enabled.mechanisms=SCRAM-SHA-512
		sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
		listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="kafka" password="$(cat "$dir/passwords/kafka")";
		authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
		super.users=User:kafka;User:kafka_admin;User:certificate-kafka
		allow.everyone.if.no.acl.found=false
		auto.create.topics.enable=false
		log.dirs=$root/data
		log.segment.bytes=16777216
		offsets.topic.num.partitions=1
		offsets.topic.replication.factor=1
		transaction.state.log.num.partitions=1
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		share.coordinator.state.topic.num.partitions=1
		share.coordinator.state.topic.replication.factor=1
		share.coordinator.state.topic.min.isr=1
		group.initial.rebalance.delay.ms=0
		# A broker that was killed comes back at once.
		broker.session.timeout.ms=2000
		broker.heartbeat.interval.ms=500
		num.network.threads=2
		num.io.threads=2
	END
}

# kafka_run CLASS ARGUMENT… runs a small program; its words go to a log.
kafka_run() {
	"$(kafka_java)" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error \
		-cp "$(kafka_jars)/*" "$@" >"$dir/kafka/setup.log" 2>&1
}

kafka_start() {
	local java
	java=$(kafka_java)
	# shellcheck disable=SC2086  # options, to be split
	launch kafka "$java" $kafka_jvm -XX:+ExitOnOutOfMemoryError -Djava.net.preferIPv4Stack=true \
		-Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true \
		-cp "$(kafka_jars)/*" kafka.Kafka "$dir/kafka/server.properties"
}

kafka_open() { (exec 3<>"/dev/tcp/127.0.0.1/$(port kafka)") 2>/dev/null; }

kafka_up() {
	local user started=''
	server_certificate kafka
	for user in kafka_admin $(kafka_users); do principal "$user"; done
	if [ ! -e "$dir/passwords/kafka" ]; then openssl rand -hex 16 | tr -d '\n' >"$dir/passwords/kafka"; fi
	kafka_configure
	if [ ! -e "$dir/kafka/formatted" ]; then
		rm -rf "$dir/kafka/data"
		kafka_run "$kafka_source/Setup.java" format "$dir/passwords" --config "$dir/kafka/server.properties" --standalone \
			--cluster-id "$(openssl rand -base64 16 | tr '+/' 'AB' | cut -c1-22)" || { cat "$dir/kafka/setup.log" >&2 && die "kafka could not be formatted"; }
		touch "$dir/kafka/formatted"
	fi
	if ! pid_of kafka >/dev/null; then
		port_is_free "$(port kafka)" || die "the port of kafka is taken: $(port kafka)"
		kafka_start
		started=yes
	fi
	wait_for kafka 120 kafka_open
	if [ -n "$started" ] || [ ! -e "$dir/kafka/set-up" ] || ! cmp -s "$kafka_source/table" "$dir/kafka/set-up"; then
		kafka_run "$kafka_source/Setup.java" table "$dir/passwords" "$dir/kafka/kafka_admin.properties" "$kafka_source/table" ||
			{ tail -n 20 "$dir/kafka/log" "$dir/kafka/setup.log" >&2 && die "kafka could not be set up"; }
		cp "$kafka_source/table" "$dir/kafka/set-up"
	fi
}

kafka_down() { stop kafka TERM 60; }

kafka_status() { kafka_open && printf 'port %s\n' "$(port kafka)"; }

kafka_env() {
	printf '%s\n' "KAFKA_BOOTSTRAP=127.0.0.1:$(port kafka)" "KAFKA_PID_FILE=$dir/kafka/pid"
}
