#!/usr/bin/env bash
# kafka-image.sh [VERSION]: builds local/kafka:VERSION for WEIR_KAFKA_IMAGE from
# Debian packages and Maven's jars, without pulling an image. It takes the same
# KAFKA_* environment as apache/kafka. It does nothing when the image is there.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd); V=${1:-4.3.1}
if ! docker image inspect local/debian-jre:bookworm >/dev/null 2>&1; then
  MIRROR=$(apt-cache policy | grep -oE 'https?://[^ ]+' | grep -v security | head -1)
  R=$(mktemp -d)/root; mkdir -p "$R"
  debootstrap --variant=minbase --include=openjdk-17-jre-headless bookworm "$R" "$MIRROR" >"$R.log" 2>&1 || { tail -20 "$R.log" >&2; exit 1; }
  rm -rf "$R"/var/cache/apt/* "$R"/var/lib/apt/lists/* "$R"/usr/share/{doc,man,locale,info}/* "$R"/var/log/*
  tar -C "$R" -c . | docker import - local/debian-jre:bookworm >/dev/null; rm -rf "$R"
fi
docker image inspect "local/kafka:$V" >/dev/null 2>&1 && { echo "local/kafka:$V"; exit 0; }
H=$("$HERE/kafka-fetch.sh" "$V" | tail -1); C=$(mktemp -d); trap 'rm -rf "$C"' EXIT
cp -r "$H/libs" "$C/libs"
cat > "$C/run" <<'S'
#!/bin/sh
# same contract as apache/kafka's /etc/kafka/docker/run: KAFKA_* -> server.properties, format storage, start
set -eu
export CLUSTER_ID="${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}"
if [ -z "${KAFKA_LISTENERS:-}" ] && [ "${KAFKA_PROCESS_ROLES:-}" != controller ] && [ -n "${KAFKA_ADVERTISED_LISTENERS:-}" ]; then
  KAFKA_LISTENERS=$(echo "$KAFKA_ADVERTISED_LISTENERS" | sed -e 's|://[^:]*:|://0.0.0.0:|g'); export KAFKA_LISTENERS
fi
LOG="-Dlog4j2.configurationFile=file:/etc/kafka/docker/log4j2.properties"
java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 $LOG -cp '/opt/kafka/libs/*' kafka.docker.KafkaDockerWrapper setup \
  --default-configs-dir /etc/kafka/docker --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config >/tmp/setup.log 2>&1 || grep -qi 'already formatted' /tmp/setup.log || { cat /tmp/setup.log; exit 1; }
exec java ${KAFKA_HEAP_OPTS:--Xmx1G -Xms256m} ${KAFKA_OPTS:-} $LOG -cp '/opt/kafka/libs/*' kafka.Kafka /opt/kafka/config/server.properties
S
cat > "$C/server.properties" <<'S'
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
advertised.listeners=PLAINTEXT://localhost:9092
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=/tmp/kafka-logs
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
S
cat > "$C/log4j2.properties" <<'S'
status=error
appender.console.type=Console
appender.console.name=C
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=info
rootLogger.appenderRef.c.ref=C
S
cp "$C/log4j2.properties" "$C/tools-log4j2.properties"
cat > "$C/Dockerfile" <<'S'
FROM local/debian-jre:bookworm
COPY libs /opt/kafka/libs
COPY run server.properties log4j2.properties tools-log4j2.properties /etc/kafka/docker/
RUN chmod 755 /etc/kafka/docker/run && mkdir -p /opt/kafka/config /mnt/shared/config /var/lib/kafka/data
EXPOSE 9092
CMD ["/etc/kafka/docker/run"]
S
DOCKER_BUILDKIT=0 docker build -q -t "local/kafka:$V" "$C" >/dev/null
echo "local/kafka:$V"
