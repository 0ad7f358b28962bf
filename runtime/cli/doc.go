// Package cli is the command of an application. A main package needs no more
// than
//
//	func main() { cli.Main(app) }
//
// for commands that run workers, show the topology, create topics, read
// tables, send records and reset the application; With adds commands of the
// application's own. This is also the place where the parts are wired: the
// Kafka transport, the stores, the settings and the signals.
//
// Every setting stands in one table (settings.go) from which flags,
// environment variables and docs/settings.md come. A flag wins over the
// environment, and that over the default.
package cli

//go:generate go run ./gendoc ../../docs/settings.md
