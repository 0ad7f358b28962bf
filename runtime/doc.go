// Package runtime runs applications on real clocks, sockets and disks.
package runtime
