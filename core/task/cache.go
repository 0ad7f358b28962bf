package task

// A cache keeps recently used entries of a space that equal the store's, so
// that hot keys are not read from it again in every epoch. It has two
// generations: when the young one is full it becomes the old one, and what is
// not touched until then is forgotten. That is as good as LRU for counting
// and costs one map lookup.
type cache struct {
	young, old map[string]*entry
	bytes, max int
}

func newCache(maxBytes int) *cache {
	return &cache{young: make(map[string]*entry), old: make(map[string]*entry), max: maxBytes}
}

func (c *cache) get(key []byte) *entry {
	if e := c.young[string(key)]; e != nil {
		return e
	}
	e := c.old[string(key)]
	if e != nil {
		c.put(e)
	}
	return e
}

func (c *cache) put(e *entry) {
	if c.max <= 0 {
		return
	}
	if old, ok := c.young[e.key]; ok {
		c.bytes -= old.size()
	}
	c.young[e.key] = e
	c.bytes += e.size()
	if c.bytes > c.max/2 {
		c.young, c.old = c.old, c.young
		clear(c.young)
		c.bytes = 0
	}
}
