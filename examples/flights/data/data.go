// Package data holds the files that are shipped with the example.
package data

import _ "embed" // for the files

// Flights is a gzipped CSV of 200,000 flights.
//
//go:embed flights-200k.csv.gz
var Flights []byte

// Airports is a CSV of the airports.
//
//go:embed airports.csv
var Airports []byte
