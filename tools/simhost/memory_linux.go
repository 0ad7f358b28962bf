//go:build linux

package simhost

import (
	"context"
	"syscall"

	"github.com/tetratelabs/wazero/experimental"
)

// withMemory makes the memory of programs one mapping of the largest size,
// which takes pages, large ones where there are some, when they are first
// touched. It grows in place, where the default copies all of it each time.
func withMemory(ctx context.Context) context.Context {
	return experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(func(_, most uint64) experimental.LinearMemory {
		b, err := syscall.Mmap(-1, 0, int(most), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
		if err != nil {
			return &heapMemory{}
		}
		_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE)
		return &mapping{b}
	}))
}

// A mapping is memory that the system reserves and fills when it is used.
type mapping struct{ all []byte }

// Reallocate implements experimental.LinearMemory.
func (m *mapping) Reallocate(size uint64) []byte {
	if size > uint64(len(m.all)) {
		return nil
	}
	return m.all[:size:size]
}

// Free implements experimental.LinearMemory.
func (m *mapping) Free() { _ = syscall.Munmap(m.all) }

// heapMemory is what remains where a mapping is refused.
type heapMemory struct{ b []byte }

// Reallocate implements experimental.LinearMemory.
func (m *heapMemory) Reallocate(size uint64) []byte {
	b := make([]byte, size)
	copy(b, m.b)
	m.b = b
	return b
}

// Free implements experimental.LinearMemory.
func (m *heapMemory) Free() { m.b = nil }
