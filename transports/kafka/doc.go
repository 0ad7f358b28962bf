// Package kafka connects a worker to Kafka through franz-go. It implements
// runtime.Transport.
//
// The duties of a caller, in order: build a Config, call New, which reports
// every mistake of the Config at once and dials nobody; use the Transport; end
// with Close. Brokers may be down at any of these moments: calls wait with
// backoff, one clear warning is logged for each broker that is away, and work
// resumes unaided.
//
// Group membership, fetching and producing use separate clients. The group
// client holds membership only and never reads a record. A Fetcher reads only
// partitions that were positioned by Set, with fetch requests of its own, so
// that a record fetched for an older position cannot reach a caller. Each
// Producer has a client, and with it one transactional ID, of its own.
//
// Offsets of a round are committed inside its transaction under the member ID
// and generation of the group (KIP-447): the membership is read first, then
// the claim is checked, then the request is sent. A member that lost its
// partitions fails one of the two checks: the claim here, or the generation at
// the broker.
package kafka
