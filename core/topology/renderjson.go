package topology

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// The JSON form of a topology: names and numbers only, a stable contract for
// tools. Fields may be added.
type (
	appJSON struct {
		App    string      `json:"app"`
		Subs   []subJSON   `json:"subTopologies"`
		Global []tableJSON `json:"globalTables"`
		Topics []topicJSON `json:"topics"`
	}
	subJSON struct {
		Name    string      `json:"name"`
		Sources []string    `json:"sources"`
		Agents  []agentJSON `json:"agents"`
		Tables  []tableJSON `json:"tables"`
		Timers  []timerJSON `json:"timers"`
		Sends   []string    `json:"sends"`
	}
	agentJSON struct {
		Name   string   `json:"name"`
		Source string   `json:"source"`
		Steps  []string `json:"steps,omitempty"`
		Uses   []string `json:"uses,omitempty"`
		Sets   []string `json:"sets,omitempty"`
		Sends  []string `json:"sends,omitempty"`
		Policy string   `json:"policy"`
	}
	tableJSON struct {
		Name       string      `json:"name"`
		Source     string      `json:"source,omitempty"`
		Changelog  string      `json:"changelog,omitempty"`
		KeyType    string      `json:"keyType"`
		ValueType  string      `json:"valueType"`
		Store      string      `json:"store,omitempty"`
		Window     *windowJSON `json:"window,omitempty"`
		Late       string      `json:"late,omitempty"`
		CloseUses  []string    `json:"closeUses,omitempty"`
		CloseSends []string    `json:"closeSends,omitempty"`
	}
	windowJSON struct {
		Size   int64 `json:"sizeMs"`
		Grace  int64 `json:"graceMs"`
		Retain int64 `json:"retainMs"` // -1: for ever
	}
	timerJSON struct {
		Name      string   `json:"name"`
		Changelog string   `json:"changelog"`
		Uses      []string `json:"uses,omitempty"`
		Sends     []string `json:"sends,omitempty"`
		Policy    string   `json:"policy"`
	}
	topicJSON struct {
		Name       string `json:"name"`
		Kind       string `json:"kind"`
		Partitions int32  `json:"partitions,omitempty"`
		From       string `json:"from,omitempty"`
		KeyType    string `json:"keyType"`
		ValueType  string `json:"valueType"`
	}
)

func (t *Topology) json() (string, error) {
	out := appJSON{App: t.App, Global: t.tablesJSON(t.Globals), Subs: []subJSON{}, Topics: []topicJSON{}}
	for _, s := range t.Subs {
		out.Subs = append(out.Subs, t.subJSON(s))
	}
	for _, name := range slices.Sorted(maps.Keys(t.Topics)) {
		p := t.Topics[name]
		out.Topics = append(out.Topics, topicJSON{p.Name, p.Kind.String(), p.Partitions, p.From, p.KeyType, p.ValueType})
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(out)
	return b.String(), err
}

func (t *Topology) subJSON(s *Sub) subJSON {
	out := subJSON{Name: s.Name, Sources: s.Sources, Tables: t.tablesJSON(s.Tables), Timers: []timerJSON{}, Sends: append([]string{}, s.Sends...)}
	for _, a := range s.Agents {
		out.Agents = append(out.Agents, agentJSON{a.Name, a.Source, a.Steps, a.Uses, a.Sets, a.Sends, a.Policy.String()})
	}
	for _, m := range s.Timers {
		out.Timers = append(out.Timers, timerJSON{m.Name, ChangelogTopic(t.App, m.Name), m.Uses, m.Sends, m.Policy.String()})
	}
	return out
}

func (t *Topology) tablesJSON(tables []*Table) []tableJSON {
	out := []tableJSON{}
	for _, table := range tables {
		j := tableJSON{
			Name: table.Name, Source: table.Source, KeyType: table.KeyType, ValueType: table.ValueType, Store: table.Store,
			Late: table.Late, CloseUses: table.CloseUses, CloseSends: table.CloseSends,
		}
		if !table.Global() {
			j.Changelog = ChangelogTopic(t.App, table.Name)
		}
		if w := table.Window; w != nil {
			j.Window = &windowJSON{w.Size, w.Grace, w.Retain}
		}
		out = append(out, j)
	}
	return out
}
