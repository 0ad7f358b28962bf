package broker

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// properties are what all brokers are configured with: topics survive one lost
// broker where there are three, and what is lost is noticed within seconds. One
// broker alone has nobody to notice it but itself, after it was stopped, or on a
// computer that was slow: it would take its own partitions' leaders away, and
// see SkippedMarkers for what comes of that.
func properties(id, nodes int, voters []string) map[string]string {
	replicas, inSync, session, expire := strconv.Itoa(nodes), strconv.Itoa(max(1, nodes-1)), "4000", "10000"
	if nodes == 1 {
		// As long does a broker wait that was killed, and aborts nothing before
		// its partitions have leaders again.
		session, expire = "15000", "30000"
	}
	return map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          strconv.Itoa(id),
		"controller.quorum.voters":                         strings.Join(voters, ","),
		"controller.listener.names":                        "CONTROLLER",
		"inter.broker.listener.name":                       "INNER",
		"listener.security.protocol.map":                   "CONTROLLER:PLAINTEXT,INNER:PLAINTEXT,OUTER:PLAINTEXT,SAFE:PLAINTEXT",
		"num.partitions":                                   "1",
		"default.replication.factor":                       replicas,
		"min.insync.replicas":                              inSync,
		"offsets.topic.replication.factor":                 replicas,
		"offsets.topic.num.partitions":                     "4",
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    inSync,
		"transaction.state.log.num.partitions":             "4",
		"share.coordinator.state.topic.replication.factor": replicas,
		"share.coordinator.state.topic.min.isr":            inSync,
		"group.initial.rebalance.delay.ms":                 "0",
		"group.min.session.timeout.ms":                     "1000",
		"auto.create.topics.enable":                        "false",
		"broker.session.timeout.ms":                        session,
		"broker.heartbeat.interval.ms":                     "1000",
		"replica.lag.time.max.ms":                          "5000",
		"log.cleaner.dedupe.buffer.size":                   "16777216",
		"log.cleaner.backoff.ms":                           "1000",

		"transaction.abort.timed.out.transaction.cleanup.interval.ms": expire,
		// The event times of tests are old, the times of markers are not: no
		// marker shall begin a segment, which takes long.
		"log.roll.ms": "315360000000", // ten years
	}
}

// file writes properties as Kafka reads them.
func file(props map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(props)) {
		b.WriteString(k + "=" + props[k] + "\n")
	}
	return b.String()
}

// environment writes properties as the entry point of Kafka's images reads
// them.
func environment(props map[string]string) map[string]string {
	env := make(map[string]string, len(props))
	for k, v := range props {
		env["KAFKA_"+strings.ToUpper(strings.ReplaceAll(k, ".", "_"))] = v
	}
	return env
}

// logging has what SkippedMarkers looks for, beside warnings.
const logging = `status=error
appender.console.type=Console
appender.console.name=C
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.c.ref=C
logger.markers.name=kafka.coordinator.transaction.TransactionMarkerChannelManager
logger.markers.level=info
`
