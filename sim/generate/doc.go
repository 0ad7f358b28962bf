// Package generate draws applications: topologies with any mixture of what the
// language has, and for each a model that computes its results in one plain
// pass over its input. Property tests of the simulators are made of them.
package generate
