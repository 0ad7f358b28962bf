// Package integration runs weir against real servers. It is a module of its
// own, and nobody imports it.
//
// The brokers are, in this order: those that WEIR_KAFKA_BROKERS names; a
// container of WEIR_KAFKA_IMAGE (default apache/kafka:4.3.1) where a Docker
// engine answers; with WEIR_KAFKA_JARS set, a Kafka that runs on this machine's
// Java from the jars that scripts/kafka-fetch.sh has brought. Nothing is
// installed. Unless brokers are named, traffic goes to 127.0.0.1 only.
//
// Package broker starts and hurts brokers, package chaos runs the torture
// application of the simulator on them and has its history checked.
package integration
