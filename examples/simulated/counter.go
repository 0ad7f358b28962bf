package shop

import "sync"

// A counter counts by customer.
type counter struct {
	mu sync.Mutex
	of map[string]int64
}

// next is the number of a customer's next order.
func (c *counter) next(customer string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[customer]++
	return c.of[customer]
}
