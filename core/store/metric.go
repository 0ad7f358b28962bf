package store

// A Meter is a Store that counts what it does, for operators. Drivers publish
// the numbers with the store's kind in front.
type Meter interface {
	// Metrics returns the present numbers, the same names in the same order
	// each time, or nil after Close. It is cheap enough to be called every
	// few seconds and may run beside everything else.
	Metrics() []Metric
}

// A Metric is one number. Names are in the style of Prometheus: lower case
// with underscores and the unit at the end, counters ending in _total.
type Metric struct {
	Name string
	// Help says what the number is, in one line.
	Help string
	// Counter is true for numbers that only grow while the store is open.
	Counter bool
	Value   float64
}
