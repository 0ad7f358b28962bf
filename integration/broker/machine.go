package broker

import "context"

// A machine is what one broker runs on: a process of this computer or a
// container.
type machine interface {
	// start starts the broker, which does not run, with what its log
	// directory holds.
	start(ctx context.Context) error
	// kill sends SIGKILL and waits for the end.
	kill()
	// pause sends SIGSTOP, resume SIGCONT.
	pause() error
	resume() error
	// ended is an error with the broker's log when it ended by itself.
	ended() error
	// log is the broker's log, of all its lives.
	log() ([]byte, error)
	// isolate cuts the network between this broker and the others, or mends
	// it.
	isolate(cut bool) error
	// inner is the address that is never cut for who is no broker.
	inner() string
	close()
}

// A Node is one broker.
type Node struct {
	id      int
	clients *proxy // between it and clients
	m       machine
}

// ID is the number of the broker, from 1.
func (n *Node) ID() int { return n.id }

// Start starts the broker, which must not run, and does not wait for it.
func (n *Node) Start() error { return n.m.start(context.Background()) }

// Kill sends SIGKILL and waits for the end.
func (n *Node) Kill() { n.m.kill() }

// Pause sends SIGSTOP: the broker is there and does nothing.
func (n *Node) Pause() error { return n.m.pause() }

// Resume sends SIGCONT.
func (n *Node) Resume() error { return n.m.resume() }

// Log returns the broker's log, of all its lives.
func (n *Node) Log() ([]byte, error) { return n.m.log() }

// Cut lets no byte pass between clients and the broker; connections stay open,
// as they do when a switch dies. Mend is the end of that: old connections are
// reset.
func (n *Node) Cut() { n.clients.setCut(true, stranger) }

// Mend undoes Cut.
func (n *Node) Mend() { n.clients.setCut(false, stranger) }

// Isolate lets no byte pass between the broker and the other brokers. In
// containers nothing else reaches it either.
func (n *Node) Isolate() error { return n.m.isolate(true) }

// Reunite undoes Isolate.
func (n *Node) Reunite() error { return n.m.isolate(false) }
