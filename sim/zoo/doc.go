// Package zoo keeps known bugs as switchable mutants of weir, to measure how
// many seeds the cluster simulator needs to find each.
//
// A mutant is data: edits of the text of production code that take effect in
// a build overlay only, and there only while WEIR_SIM_ZOO names it. The code
// itself has no trace of them. "weir sim zoo" hunts for each.
package zoo
