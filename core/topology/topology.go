package topology

import "strings"

// A Topology is a Graph that was found correct, resolved and cut into
// sub-topologies. It is immutable and safe for concurrent use.
type Topology struct {
	App  string
	Subs []*Sub // ordered by name
	// Topics by name: those declared, and the changelogs.
	Topics map[string]*Topic
	Tables map[string]*Table
	// Globals are the global tables, ordered by name.
	Globals []*Table
}

// A Sub is a sub-topology: what must run together on one partition.
type Sub struct {
	// Name is that of its first source topic in byte order.
	Name string
	// Sources are the topics it reads, ordered; all have the same number of
	// partitions when the application starts, or it refuses to.
	Sources []string
	// Agents in the order in which they see a record: by declaration.
	Agents []*Agent
	// Tables it owns, ordered by name. Global tables are not among them.
	Tables []*Table
	Timers []*Timer
	// Sends are all topics it may send to, late and dead-letter topics
	// included, ordered.
	Sends []string
}

// Stores returns the names under which tasks of the sub-topology keep state:
// its tables, then its timers. Each has a changelog topic. Windows need no
// timers of their own: what is due to close follows from stream time and the
// table's order.
func (s *Sub) Stores() []string {
	var names []string
	for _, t := range s.Tables {
		names = append(names, t.Name)
	}
	for _, t := range s.Timers {
		names = append(names, t.Name)
	}
	return names
}

// ChangelogTopic is the name of a table's changelog topic.
func ChangelogTopic(app, table string) string { return app + "-" + table + "-changelog" }

// RepartitionTopic is the name of the topic behind a group-by.
func RepartitionTopic(app, name string) string { return app + "-" + name + "-repartition" }

// IsInternal reports whether a topic name is one that weir makes for app.
func IsInternal(app, topic string) bool {
	return strings.HasPrefix(topic, app+"-") &&
		(strings.HasSuffix(topic, "-changelog") || strings.HasSuffix(topic, "-repartition"))
}
