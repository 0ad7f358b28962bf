//go:build !unix

package cli

// lockDir leaves the locking to the store where the system has no flock.
func lockDir(string) (release func(), err error) { return func() {}, nil }
