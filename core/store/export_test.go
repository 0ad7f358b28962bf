package store

import (
	"encoding/binary"
	"slices"
)

// WithChecksum appends a right checksum to an arbitrary body.
func WithChecksum(body []byte) []byte {
	return binary.BigEndian.AppendUint32(slices.Clone(body), checksum(body))
}
