// Package simnet is a network inside one process whose every delay and
// failure follows from a seed.
//
// Hosts are names. A server listens on an address (Network.Listen fits
// kfake.ListenFn) and is a host of that name; a client dials as a host
// (Network.Dialer fits kgo.Dialer). Between two hosts there is a connection of
// two streams; what is written arrives after a delay, in order, or not at all:
//
//   - Reset breaks connections on both sides, HalfOpen on one side only.
//   - Hold keeps everything from one host to another on its way until
//     Release: both ways it is a partition, one way an asymmetric one, for a
//     short time a clog.
//   - Pause stops a host as a stopped process is: its reads, writes and dials
//     wait, whatever their deadlines, until Resume.
//   - Kill ends a host for good. Its goroutines wait for ever in their next
//     call; the world outside sees its connections reset, or nothing at all.
//   - A Tap sees every write and may drop, delay or cut it.
//
// Everything waits on sync.Cond alone, so that under a deterministic
// scheduler (see tools/simhost) the order of events is a matter of the seed.
// Each connection draws from a random source of its own, made from the seed,
// both hosts and how many connections they had before: what one connection
// draws does not change what another one does.
package simnet
