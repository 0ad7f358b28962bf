// Package integration runs weir against real servers. It is a module of its
// own, and nobody imports it.
//
// The brokers are, in this order: those that WEIR_KAFKA_BROKERS names; with
// WEIR_KAFKA_JARS set, processes on this machine's Java from the jars that
// scripts/kafka-fetch.sh has brought; containers of WEIR_KAFKA_IMAGE. Nothing is
// installed. Unless brokers are named, traffic goes to 127.0.0.1 only.
//
// Package broker starts and hurts brokers, package chaos runs the torture
// application of the simulator on them and has its history checked.
package integration
