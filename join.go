package weir

// Join looks up each record's key in a table and turns the value and what was
// found into a new value, or drops it when fn returns false: with found
// passed on this is an inner join, with true a left join. The table is not
// changed by it and must be partitioned like the stream; Build and the start
// of the worker see to that. When the key is absent, t is the zero value.
func Join[K, V, T, R any](s *Stream[K, V], name string, table *Table[K, T], fn func(v V, t T, found bool) (R, bool)) *Stream[K, R] {
	if s == nil || table == nil {
		return joined(derive(s, "join", name, false, joinNothing[V, R]), nil)
	}
	direct := sameCodec(s.keys, table.base.keys)
	keys := s.keys
	return joined(derive(s, "join", name, fn == nil, func(next sink[R]) sink[V] {
		return func(e *engine, v V) error {
			key := e.Record().Key
			if !direct || key == nil {
				k, err := decode(keys, key)
				if err != nil {
					return decodeError(e.Record(), "key", err)
				}
				if key, err = table.base.key().bytes(e, k); err != nil {
					return err
				}
			}
			t, found, err := table.base.load(e, key)
			if err != nil {
				return err
			}
			if r, keep := fn(v, t, found); keep {
				return next(e, r)
			}
			return nil
		}
	}), table.base.decl)
}

// JoinGlobal looks up the key that keyFn takes from each value in a global
// table. The stream may be partitioned in any way.
func JoinGlobal[K, V, GK, G, R any](s *Stream[K, V], name string, global *GlobalTable[GK, G], keyFn func(V) GK, fn func(v V, g G, found bool) (R, bool)) *Stream[K, R] {
	if s == nil || global == nil {
		return joined(derive(s, "join-global", name, false, joinNothing[V, R]), nil)
	}
	return joined(derive(s, "join-global", name, fn == nil || keyFn == nil, func(next sink[R]) sink[V] {
		return func(e *engine, v V) error {
			g, found, err := global.Lookup(e, keyFn(v))
			if err != nil {
				return err
			}
			if r, keep := fn(v, g, found); keep {
				return next(e, r)
			}
			return nil
		}
	}), global.base.decl)
}

// joined adds the table to what the stream uses.
func joined[K, R any](s *Stream[K, R], table *tableDecl) *Stream[K, R] {
	where := "join"
	if n := len(s.steps); n > 0 {
		where = s.steps[n-1]
	}
	if table != nil {
		where = "join with " + table.where()
	}
	if owned(s.app, table, where, "table") {
		s.uses = append(s.uses, table.spec.Name)
	}
	return s
}

// joinNothing is the join of what Build refuses.
func joinNothing[V, R any](sink[R]) sink[V] {
	return func(*engine, V) error { return nil }
}
