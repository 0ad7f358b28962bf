package store

// A Setting is something that an operator can tell a kind of store. Drivers
// make a flag and an environment variable of it.
type Setting struct {
	// Name is unique among all settings of a worker, so it begins with the
	// kind: aerospike-hosts.
	Name string
	// Default is taken when the operator says nothing.
	Default string
	// Doc says what it means, in a sentence or two.
	Doc string
	// Secret settings are not taken from a command line, which everybody on
	// a machine can see.
	Secret bool
}
