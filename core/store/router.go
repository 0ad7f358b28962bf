package store

// A Router is a Store that keeps spaces in several others.
type Router interface {
	Store
	// For returns the store that keeps a space.
	For(sp Space) Store
}

// BulkLoaderFor returns the BulkLoader that keeps a space, if there is one.
func BulkLoaderFor(s Store, sp Space) (BulkLoader, bool) {
	for {
		r, ok := s.(Router)
		if !ok {
			b, ok := s.(BulkLoader)
			return b, ok
		}
		s = r.For(sp)
	}
}
