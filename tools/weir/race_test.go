//go:build race

package main

// raced says that the race detector is on, under which compiling a module takes
// minutes.
const raced = true
