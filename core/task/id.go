package task

import (
	"cmp"
	"fmt"
)

// An ID names a task.
type ID struct {
	Sub       string
	Partition int32
}

func (id ID) String() string { return fmt.Sprintf("%s/%d", id.Sub, id.Partition) }

// Compare orders IDs by sub-topology, then partition.
func (id ID) Compare(other ID) int {
	if c := cmp.Compare(id.Sub, other.Sub); c != 0 {
		return c
	}
	return cmp.Compare(id.Partition, other.Partition)
}
