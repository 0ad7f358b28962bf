package topology

import "encoding/binary"

// windowPrefix is the length of a window's start in a storage key.
const windowPrefix = 8

// AppendWindowKey appends the storage key of an entry of a windowed table:
// the window's start as 8 big-endian bytes with the sign bit flipped, so that
// byte order is time order also before 1970, then the entry's own key. All
// windows that may be due are therefore one range of the table, and the
// entries of one window are another, in key order.
func AppendWindowKey(dst []byte, start int64, key []byte) []byte {
	return append(AppendWindowStart(dst, start), key...)
}

// AppendWindowStart appends the prefix that all storage keys of the window
// share, which is also the first possible key of that window.
func AppendWindowStart(dst []byte, start int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(start)^(1<<63))
}

// WindowKey is AppendWindowKey to a new slice.
func WindowKey(start int64, key []byte) []byte {
	return AppendWindowKey(make([]byte, 0, windowPrefix+len(key)), start, key)
}

// SplitWindowKey takes the storage key of a windowed table apart; false when
// b is too short to be one. The key is a part of b, not a copy.
func SplitWindowKey(b []byte) (start int64, key []byte, ok bool) {
	if len(b) < windowPrefix {
		return 0, nil, false
	}
	return int64(binary.BigEndian.Uint64(b) ^ (1 << 63)), b[windowPrefix:], true
}
