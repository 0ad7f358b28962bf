package topology

import (
	"fmt"
	"slices"
	"strings"
)

// maxName is the longest topic name that Kafka takes.
const maxName = 249

func legalByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

// checkName checks a name that ends up in Kafka as full.
func (b *builder) checkName(where, name, full string) {
	switch {
	case name == "":
		b.problem(where, "has no name", "give it one; names are how state is found again")
	case name == "." || name == "..":
		b.problem(where, "has a name that Kafka reserves", "choose another name")
	case strings.ContainsFunc(name, func(r rune) bool { return r > 127 || !legalByte(byte(r)) }):
		b.problem(where, "has characters in its name that Kafka does not allow", "use letters, digits, '.', '_' and '-'")
	case len(full) > maxName:
		b.problem(where, fmt.Sprintf("needs the topic name %q, which is %d characters long", full, len(full)),
			fmt.Sprintf("shorten it; Kafka allows %d", maxName))
	}
}

func (b *builder) checkApp() {
	where := fmt.Sprintf("application %q", b.t.App)
	b.checkName(where, b.t.App, b.t.App)
	if len(b.agents) == 0 {
		b.problem(where, "has no agents, so it would do nothing", "end a stream with Each, Loop, GroupBy or Forward")
	}
}

func (b *builder) checkTopics() {
	for _, t := range b.topics {
		where := topicWhere(t)
		b.checkName(where, t.Name, t.Name)
		if t.Partitions < 0 {
			b.problem(where, fmt.Sprintf("cannot have %d partitions", t.Partitions), "give it 0 (not known) or more")
		}
		if first := b.t.Topics[t.Name]; first != nil {
			b.checkAgain(where, first, t)
			continue
		}
		b.t.Topics[t.Name] = t
		if t.Kind == External && IsInternal(b.t.App, t.Name) {
			b.problem(where, "has a name that is kept for topics that weir makes for this application",
				"rename it: names of the form "+b.t.App+"-…-changelog and "+b.t.App+"-…-repartition would be deleted by a reset")
		}
	}
	for _, t := range b.topics {
		if t.Kind == Repartition && b.t.Topics[t.From] == nil {
			b.problem(topicWhere(t), fmt.Sprintf("comes from topic %q, which is not declared", t.From), "declare it with NewTopic")
		}
	}
	b.checkAlike()
}

// checkAgain checks the second declaration of a topic and merges it into the
// first.
func (b *builder) checkAgain(where string, first, again *Topic) {
	switch {
	case first.Kind == Repartition && again.Kind == Repartition:
		b.problem(where, "is the topic of two group-bys", "give the group-bys different names")
	case first.Kind != again.Kind:
		b.problem(where, fmt.Sprintf("is declared as %s topic and as %s topic", first.Kind, again.Kind), "rename one of them")
	case first.KeyType != again.KeyType || first.ValueType != again.ValueType:
		b.problem(where, fmt.Sprintf("is declared twice with different types: key %s and %s, value %s and %s",
			first.KeyType, again.KeyType, first.ValueType, again.ValueType), "declare it once and use that everywhere")
	case first.Partitions != 0 && again.Partitions != 0 && first.Partitions != again.Partitions:
		b.problem(where, fmt.Sprintf("is declared with %d partitions and with %d", first.Partitions, again.Partitions), "declare it once")
	}
	first.Partitions = max(first.Partitions, again.Partitions)
}

// checkAlike finds topics that Kafka takes for one in its metric names, and
// therefore refuses to create beside each other.
func (b *builder) checkAlike() {
	var names []string
	for _, t := range b.topics {
		names = append(names, t.Name)
	}
	for _, t := range b.tables {
		if !t.Global() {
			names = append(names, ChangelogTopic(b.t.App, t.Name))
		}
	}
	for _, t := range b.timerSet {
		names = append(names, ChangelogTopic(b.t.App, t.Name))
	}
	alike := make(map[string]string)
	for _, name := range sorted(names) {
		flat := strings.ReplaceAll(name, ".", "_")
		if other, ok := alike[flat]; ok {
			b.problem(fmt.Sprintf("topic %q", name), fmt.Sprintf("differs from topic %q only in '.' and '_', which Kafka does not allow", other), "rename one of them")
		}
		alike[flat] = name
	}
}

func topicWhere(t *Topic) string {
	if t.Kind == External {
		return fmt.Sprintf("topic %q", t.Name)
	}
	return fmt.Sprintf("%s topic %q", t.Kind, t.Name)
}

func (b *builder) checkTables() {
	for _, t := range b.tables {
		where := tableWhere(t)
		full := ChangelogTopic(b.t.App, t.Name)
		if t.Global() {
			full = t.Name
		}
		b.checkName(where, t.Name, full)
		if b.t.Tables[t.Name] != nil {
			b.problem(where, "is declared twice", "give the tables different names, or declare one and use it everywhere")
			continue
		}
		b.t.Tables[t.Name] = t
		if t.Global() {
			b.checkGlobal(where, t)
		}
		b.checkWindow(where, t)
	}
	for _, t := range b.tables {
		where := tableWhere(t)
		b.checkTableNames(where, t.CloseUses)
		b.checkSends(where, t.CloseSends)
		if t.Late != "" {
			b.checkSends(where, []string{t.Late})
		}
		if t.OnClose != nil {
			b.checkPolicy(where, t.Policy)
		}
	}
}

func tableWhere(t *Table) string {
	if t.Global() {
		return fmt.Sprintf("global table %q", t.Name)
	}
	return fmt.Sprintf("table %q", t.Name)
}

func (b *builder) checkGlobal(where string, t *Table) {
	switch src := b.t.Topics[t.Source]; {
	case src == nil:
		b.problem(where, fmt.Sprintf("is the content of topic %q, which is not declared", t.Source), "declare it with NewTopic")
	case src.Kind != External:
		b.problem(where, fmt.Sprintf("is the content of a %s topic, whose records are not kept", src.Kind), "make it the table of a topic of yours")
	}
	if t.Window != nil || t.OnClose != nil || t.Late != "" {
		b.problem(where, "is read-only, so it has no windows", "use a table without Source for what the application writes")
	}
}

func (b *builder) checkWindow(where string, t *Table) {
	w := t.Window
	if w == nil {
		if t.OnClose != nil || t.Late != "" || len(t.CloseUses)+len(t.CloseSends) > 0 {
			b.problem(where, "has options of a windowed table but no window", "give it a window size")
		}
		return
	}
	if w.Size <= 0 {
		b.problem(where, fmt.Sprintf("has windows of %d ms", w.Size), "give Tumbling a size of at least a millisecond")
	}
	if w.Grace < 0 {
		b.problem(where, fmt.Sprintf("has a grace of %d ms", w.Grace), "give Grace a duration that is not negative")
	}
	if w.Retain < 0 && w.Retain != Forever {
		b.problem(where, fmt.Sprintf("retains closed windows for %d ms", w.Retain), "give Retain a duration that is not negative, or use RetainForever()")
	}
}

func (b *builder) checkTimers() {
	for _, t := range b.timerSet {
		where := fmt.Sprintf("timer %q", t.Name)
		b.checkName(where, t.Name, ChangelogTopic(b.t.App, t.Name))
		switch {
		case b.timers[t.Name] != nil:
			b.problem(where, "is declared twice", "give the timers different names")
		case b.t.Tables[t.Name] != nil && !b.t.Tables[t.Name].Global():
			b.problem(where, "has the name of a table, and both would keep their changelog in topic "+ChangelogTopic(b.t.App, t.Name), "rename one of them")
		case b.t.Tables[t.Name] != nil:
			b.problem(where, "has the name of a global table", "rename the timer")
		}
		if b.timers[t.Name] == nil {
			b.timers[t.Name] = t
		}
		if t.Fire == nil {
			b.problem(where, "has no function", "give it one")
		}
		b.checkTableNames(where, t.Uses)
		b.checkSends(where, t.Sends)
		b.checkPolicy(where, t.Policy)
	}
}

func (b *builder) checkAgents() {
	seen := make(map[string]bool)
	for _, a := range b.agents {
		where := fmt.Sprintf("agent %q", a.Name)
		b.checkName(where, a.Name, a.Name)
		if seen[a.Name] {
			b.problem(where, "is declared twice", "give the agents, group-bys and forwards different names")
		}
		seen[a.Name] = true
		b.checkSource(where, a)
		if a.New == nil {
			b.problem(where, "has no function", "give it one")
		}
		b.checkTableNames(where, a.Uses)
		b.checkSends(where, a.Sends)
		for _, name := range a.Sets {
			if b.timers[name] == nil {
				b.problem(where, fmt.Sprintf("sets timer %q, which is not declared", name), "declare it with NewTimer")
			}
		}
		b.checkPolicy(where, a.Policy)
		if a.Policy.Final == DeadLetter && a.Policy.Topic == a.Source && a.Source != "" {
			b.problem(where, fmt.Sprintf("sends dead letters to topic %q, which it reads: a bad record would go round for ever", a.Source), "use another topic for dead letters")
		}
	}
}

func (b *builder) checkSource(where string, a *Agent) {
	switch t := b.t.Topics[a.Source]; {
	case a.Source == "":
		b.problem(where, "reads no topic", "give it a stream")
	case t == nil:
		b.problem(where, fmt.Sprintf("reads topic %q, which is not declared", a.Source), "declare it with NewTopic")
	case t.Kind == Changelog:
		b.problem(where, fmt.Sprintf("reads changelog topic %q", a.Source), "read the topic that the table is made from")
	}
}

func (b *builder) checkTableNames(where string, names []string) {
	for _, name := range names {
		if b.t.Tables[name] == nil {
			b.problem(where, fmt.Sprintf("uses table %q, which is not declared", name), "declare it with NewTable")
		}
	}
}

func (b *builder) checkSends(where string, names []string) {
	for _, name := range names {
		switch t := b.t.Topics[name]; {
		case t == nil:
			b.problem(where, fmt.Sprintf("sends to topic %q, which is not declared", name), "declare it with NewTopic")
		case t.Kind == Changelog:
			b.problem(where, fmt.Sprintf("sends to changelog topic %q", name), "write the table instead")
		}
	}
}

func (b *builder) checkPolicy(where string, p Policy) {
	if p.Retries < 0 {
		b.problem(where, fmt.Sprintf("retries %d times", p.Retries), "give Retry a count that is not negative")
	}
	if p.Backoff < 0 || p.MaxBackoff < 0 {
		b.problem(where, "has a negative backoff", "give Retry durations that are not negative")
	}
	if p.MaxBackoff > 0 && p.MaxBackoff < p.Backoff {
		b.problem(where, fmt.Sprintf("has a backoff of %v, which is over its limit of %v", p.Backoff, p.MaxBackoff), "raise the limit")
	}
	if p.Final == DeadLetter {
		if p.Topic == "" {
			b.problem(where, "sends dead letters but names no topic", "give DeadLetter a topic")
		} else {
			b.checkSends(where, []string{p.Topic})
		}
	}
}

// checkUse finds what is declared but never used.
func (b *builder) checkUse() {
	var tables, timers []string
	for _, a := range b.agents {
		tables = append(tables, a.Uses...)
		timers = append(timers, a.Sets...)
	}
	for _, t := range b.timerSet {
		tables = append(tables, t.Uses...)
		if !slices.Contains(timers, t.Name) {
			b.problem(fmt.Sprintf("timer %q", t.Name), "is never set", "add Sets to the agent that sets it, or remove it")
		}
	}
	for _, t := range b.tables {
		tables = append(tables, t.CloseUses...)
	}
	for _, t := range b.tables {
		if !slices.Contains(tables, t.Name) {
			b.problem(tableWhere(t), "is not used by any agent", "add Uses to the agent that uses it, or remove it")
		}
	}
}
