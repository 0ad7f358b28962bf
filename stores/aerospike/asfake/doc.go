// Package asfake is an Aerospike server in the process: it speaks the wire
// protocol that the official Go client needs, so that what is tested is the
// client and everything above it.
//
// It has records with bins, generations, expiry and record-exists policies;
// single and batch reads, writes, deletes and operations; users; TLS; and the
// truncate command. It has no scans, queries, secondary indexes, user-defined
// functions or map and list operations, and cannot judge filter expressions:
// what it does not know it refuses with UNSUPPORTED_FEATURE.
//
// It behaves like Community Edition where that hurts:
//
//   - generations have 16 bits and start again at 1 after a delete;
//   - a durable delete is refused; a plain delete and a truncate come back when
//     the server restarts ([Server.Restart]);
//   - writes of the last moments may be lost when it restarts, each by itself;
//   - a filter expression is ignored where the record does not exist, and the
//     write succeeds;
//   - a record is at most 1 MiB;
//   - a request may be carried out although its answer never arrives.
//
// A [Fault] makes requests fail on purpose. A [Script] is run against the fake
// and against a real server, and both must answer the same.
package asfake
