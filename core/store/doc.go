// Package store says what the core expects of a place where tables live.
//
// A Store holds many spaces; a space is one partition of one table. The rules
// that every adapter keeps, and that conformance checks:
//
//   - A store never holds uncommitted data. Only committed batches and
//     committed changelog records reach Apply.
//   - A position travels in the same atomic batch as the data it describes.
//     After any crash a space and its position are from the same batch; both
//     may be a little old, and the changelog supplies the rest.
//   - A space is owned by one generation at a time. Writes of an older
//     generation fail with ErrFenced and change nothing.
//
// Use: Open a space before reading or writing it, Apply batches, Release it
// when its task moves away, Close the store once at the end.
package store
