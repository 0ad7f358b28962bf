#!/usr/bin/env bash
# kafka-fetch.sh [VERSION]: brings the jars of a Kafka broker from Maven Central
# with mvn, and prints the directory: WEIR_KAFKA_JARS, or a cache directory.
# It does nothing when they are there.
set -euo pipefail
version=${1:-4.3.1}
home=${WEIR_KAFKA_JARS:-}
case $home in '' | 1) home=${XDG_CACHE_HOME:-$HOME/.cache}/weir/kafka-$version ;; esac
[ -f "$home/.complete" ] && { echo "$home"; exit 0; }
for need in java mvn; do
	command -v "$need" >/dev/null || { echo "kafka-fetch.sh needs $need (Debian: default-jre-headless maven)" >&2; exit 1; }
done
mkdir -p "$home/libs"
cat >"$home/pom.xml" <<P
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>kafka-jars</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
 <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
 <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.3</version></dependency>
 <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.25.3</version></dependency>
 <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-1.2-api</artifactId><version>2.25.3</version></dependency>
</dependencies></project>
P
mvn -Dstyle.color=never -B -q -ntp -f "$home/pom.xml" \
	org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
	-DincludeScope=runtime -DoutputDirectory="$home/libs" >&2
touch "$home/.complete"
echo "$home"
