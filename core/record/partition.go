package record

// Partition returns the partition of a key in a topic of n partitions, the
// same one that Kafka's Java client picks by default (murmur2, sign bit
// cleared), so that topics written by others stay co-partitioned with ours.
// It panics when n is not positive: the caller must know the topic.
func Partition(key []byte, n int32) int32 {
	if n <= 0 {
		panic("record: partition count must be positive")
	}
	return int32((murmur2(key) & 0x7fffffff) % uint32(n))
}

// murmur2 is the hash of Kafka's DefaultPartitioner, seed included.
func murmur2(b []byte) uint32 {
	const (
		seed uint32 = 0x9747b28c
		m    uint32 = 0x5bd1e995
		r           = 24
	)
	h := seed ^ uint32(len(b))
	for len(b) >= 4 {
		k := uint32(b[3])<<24 | uint32(b[2])<<16 | uint32(b[1])<<8 | uint32(b[0])
		b = b[4:]
		k *= m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}
