package broker

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// inodeOf finds the socket of this computer that is connected from one address
// to another, in the tables of Linux; "" when there is none.
func inodeOf(from, to net.Addr) string {
	a, ok1 := from.(*net.TCPAddr)
	b, ok2 := to.(*net.TCPAddr)
	if !ok1 || !ok2 {
		return ""
	}
	// Java's sockets are of IPv6, also where they speak IPv4.
	for _, table := range []string{"/proc/net/tcp6", "/proc/net/tcp"} {
		text, err := os.ReadFile(table) //nolint:gosec // one of two
		if err != nil {
			continue
		}
		if inode := find(string(text), a.Port, b.Port); inode != "" {
			return inode
		}
	}
	return ""
}

// find looks for a line with a local and a remote port:
//
//	0: 0100007F:A0B1 0100007F:C3D4 01 00000000:00000000 00:00000000 00000000 0 0 123456 ...
func find(table string, local, remote int) string {
	l, r := fmt.Sprintf(":%04X", local), fmt.Sprintf(":%04X", remote)
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > 9 && strings.HasSuffix(f[1], l) && strings.HasSuffix(f[2], r) {
			return f[9]
		}
	}
	return ""
}
