package cli

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// instanceFile keeps the name of the worker in the state directory, so that a
// restart has the same transactional IDs and fences what the process before
// it left open.
const instanceFile = "instance"

// instanceName returns the name kept in a directory, or makes one up and
// keeps it. The caller holds the directory's lock.
func instanceName(dir string) (string, error) {
	path := filepath.Join(dir, instanceFile)
	b, err := os.ReadFile(path) //nolint:gosec // the directory is the user's setting
	if name := strings.TrimSpace(string(b)); err == nil && name != "" {
		return name, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the instance name: %w; or give one with --instance", err)
	}
	name, err := newInstanceName()
	if err != nil {
		return "", err
	}
	// The file appears complete or not at all: half a name would be taken
	// for another worker by the next start.
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, []byte(name+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keeping the instance name: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", fmt.Errorf("keeping the instance name: %w", err)
	}
	return name, nil
}

// newInstanceName is the host with something random, for people and for
// several workers on a host.
func newInstanceName() (string, error) {
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "worker"
	}
	host, _, _ = strings.Cut(host, ".")
	return host + "-" + hex.EncodeToString(b[:]), nil
}
