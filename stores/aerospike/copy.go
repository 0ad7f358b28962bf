package aerospike

// copyPage is how many entries are copied at a time.
const copyPage = 1024

// copyLayers writes all live entries into a new incarnation, as its first
// batch. Nothing of it counts before its head is written.
func (s *Store) copyLayers(p *space, layers []layer, from *loaded, id incarnation, now *state) (*loaded, error) {
	to := newLoaded(1)
	to.position = from.position
	w := writer{store: s, space: p, id: id, seq: 1, take: func() uint32 { to.fresh++; return to.fresh - 1 }}
	now.seq, now.count, now.sum = w.seq, 0, 0
	var keys [][]byte
	var at []location
	flush := func() error {
		w.records = w.records[:0]
		err := s.fetch(p, layers, keys, at, func(i int, value []byte, err error) error {
			if err != nil {
				return err
			}
			loc, more, err := w.entry(keys[i], value)
			if err != nil {
				return err
			}
			to.index.ReplaceOrInsert(keys[i], loc)
			if len(more) > 0 {
				to.more[loc] = more
			}
			to.live[0]++
			to.keyBytes += int64(len(keys[i]))
			now.count, now.sum = now.count+1, now.sum+loc.hash
			return nil
		})
		if err != nil {
			return err
		}
		keys, at = keys[:0], at[:0]
		return s.writeSlots(w.records, func(r *slotWrite) { to.tainted[r.slot] = struct{}{} })
	}
	for k, loc := range from.index.Ascend(minKey(), maxKey()) {
		keys, at = append(keys, k), append(at, loc)
		if len(keys) == copyPage {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	now.slots = to.fresh
	return to, nil
}
