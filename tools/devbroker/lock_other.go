//go:build !unix

package devbroker

// A dirLock does nothing where there is no flock: two brokers must not be
// given the same directory.
type dirLock struct{}

func lockDir(string) (*dirLock, error) { return nil, nil }

func (*dirLock) release() {}
