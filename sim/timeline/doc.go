// Package timeline shows a history of sim/check to a person: workers side by
// side, time downwards, as text for a terminal or as one HTML page that needs
// nothing else. It knows nothing of the simulator: the history of a run on a
// real cluster is shown by the same code.
//
// The lives of one worker share a column when their names differ only in a
// number after the last dot: w0.1 and w0.2 are two lives of w0.
package timeline
