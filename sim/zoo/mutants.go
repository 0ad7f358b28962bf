package zoo

import "slices"

// Mutants lists the zoo.
func Mutants() []Mutant {
	return slices.Concat(commitMutants(), stateMutants(), standbyMutants(), timeMutants())
}

// commitMutants are bugs of the commit protocol and of ownership.
func commitMutants() []Mutant {
	return []Mutant{
		{"commit-passes-gap", "a commit passes a record that was not processed (faust-streaming #312)", []string{"S1", "S2", "S19"}, []Edit{
			{"core/task/epoch.go", "Partition: in.tp.Partition, Offset: in.next})", "Partition: in.tp.Partition, Offset: map[bool]int64{true: in.seen, false: in.next}[zooOn(\"commit-passes-gap\")]})"},
		}},
		{"retry-skips", "a record that is to be retried is passed over (faust-streaming #216)", []string{"S1", "S19"}, []Edit{
			{"core/task/failure.go", "\t\tt.step.until = at\n\t\treturn Blocked\n", "\t\tif zooOn(\"retry-skips\") {\n\t\t\treturn Progress\n\t\t}\n\t\tt.step.until = at\n\t\treturn Blocked\n"},
		}},
		{"dead-letter-dropped", "a dead letter is counted and not sent", []string{"S1", "S19"}, []Edit{
			{"core/task/failure.go", "\t\tfor _, r := range rs {\n\t\t\tif derr", "\t\tfor _, r := range rs {\n\t\t\tif zooOn(\"dead-letter-dropped\") {\n\t\t\t\tbreak\n\t\t\t}\n\t\t\tif derr"},
		}},
		{"unknown-is-failed", "a commit of unknown outcome is tried again as if it had failed (KAFKA-9274)", []string{"S1", "S4", "S5", "S9", "S16"}, []Edit{
			{"transports/kafka/txn.go", "\tcase decided:\n", "\tcase decided || zooOn(\"unknown-is-failed\"):\n"},
		}},
		{"unknown-is-success", "a commit of unknown outcome counts as done", []string{"S1", "S4", "S6", "S7", "S9", "S19"}, []Edit{
			{"transports/kafka/txn.go", "\tp.unknown = true\n\treturn runtime.Result{Outcome: runtime.Unknown", "\tif zooOn(\"unknown-is-success\") {\n\t\treturn runtime.Result{Outcome: runtime.Committed, Next: next}\n\t}\n\tp.unknown = true\n\treturn runtime.Result{Outcome: runtime.Unknown"},
		}},
		{"offsets-outside", "offsets are committed beside the transaction instead of in it", []string{"S1", "S4", "S19"}, []Edit{
			{"transports/kafka/txn.go", "\tif err := p.round.send(ctx, cl); err != nil {\n\t\treturn err\n\t}\n\treturn p.addOffsets", "\tif g != nil && zooOn(\"offsets-outside\") {\n\t\tif err := g.Commit(ctx, c.Claim, c.Offsets); err != nil {\n\t\t\treturn err\n\t\t}\n\t\treturn p.round.send(ctx, cl)\n\t}\n\tif err := p.round.send(ctx, cl); err != nil {\n\t\treturn err\n\t}\n\treturn p.addOffsets"},
		}},
		{"aborted-is-applied", "an aborted round is written to the store and counts as done", []string{"S1", "S6", "S7", "S8", "L1"}, []Edit{
			{"core/worker/commit.go", "\tcase Aborted:\n\t\tm.each(m.rewind)\n", "\tcase Aborted:\n\t\tif zooOn(\"aborted-is-applied\") {\n\t\t\tm.apply(ev)\n\t\t\treturn\n\t\t}\n\t\tm.each(m.rewind)\n"},
		}},
		{"revoke-does-not-wait", "a revoked task is let go without waiting for its commit, and goes on (goka #207)", []string{"S1", "S6", "S9", "S19", "L1", "L2"}, []Edit{
			{"core/worker/life.go", "\t\tm.unfetch(o)\n\t\to.state = Draining\n", "\t\tif zooOn(\"revoke-does-not-wait\") {\n\t\t\tm.emit(Released{id})\n\t\t\tcontinue\n\t\t}\n\t\tm.unfetch(o)\n\t\to.state = Draining\n"},
		}},
		{"zombie-not-checked", "the group's generation is not checked when a transaction takes offsets (KAFKA-14402)", []string{"S1", "S3", "S6", "S9", "S16"}, []Edit{
			{"transports/kafka/txn.go", "req.MemberID, req.Generation, req.InstanceID = id, generation, g.instance()", "req.MemberID, req.Generation, req.InstanceID = id, generation, g.instance()\n\t\tif zooOn(\"zombie-not-checked\") {\n\t\t\treq.MemberID, req.Generation, req.InstanceID = \"\", -1, nil\n\t\t}"},
		}},
		{"stale-fetch", "records that were fetched before a rewind or a rebalance are used after it (franz-go #1222)", []string{"S1", "S6", "S9", "S10", "S19"}, []Edit{
			{"core/worker/machine.go", "o.session == session", "(o.session == session || zooOn(\"stale-fetch\"))"},
			{"transports/kafka/fetch.go", "\tif f.cursors[cur.tp] != cur || cur.next != from || cur.failed {\n\t\treturn // set anew", "\tif now := f.cursors[cur.tp]; now != nil && zooOn(\"stale-fetch\") {\n\t\tcur, from = now, now.next\n\t}\n\tif f.cursors[cur.tp] != cur || cur.next != from || cur.failed {\n\t\treturn // set anew"},
		}},
		{"epochs-not-aborted", "the cache keeps the writes of an aborted round", []string{"S1", "S6", "S16"}, []Edit{
			{"core/task/space.go", "\ts.cur.reset()\n\ts.fly = nil\n", "\tif zooOn(\"epochs-not-aborted\") && s.fly != nil {\n\t\ts.applied()\n\t}\n\ts.cur.reset()\n\ts.fly = nil\n"},
		}},
	}
}

// stateMutants are bugs of tables, stores and restores.
func stateMutants() []Mutant {
	return []Mutant{
		{"restore-skipped", "a task that moved does not restore (KAFKA-7672)", []string{"S1", "S6", "S11", "S21"}, []Edit{
			{"core/changelog/restore.go", "\tcase !l.Position.Exists:\n\t\tp.Fresh = true\n", "\tcase !l.Position.Exists:\n\t\tif zooOn(\"restore-skipped\") {\n\t\t\tp.From = l.End\n\t\t}\n\t\tp.Fresh = true\n"},
		}},
		{"restore-one-early", "a restore stops one record early", []string{"S1", "S6", "S11"}, []Edit{
			{"core/changelog/restore.go", "\t\tif rec.Offset < r.next {\n\t\t\tcontinue\n\t\t}\n\t\tif rec.Value == nil {\n", "\t\tif rec.Offset < r.next || zooOn(\"restore-one-early\") && rec.Offset >= r.plan.To-2 {\n\t\t\tcontinue\n\t\t}\n\t\tif rec.Value == nil {\n"},
		}},
		{"restore-counts-records", "a restore waits for records, never satisfied by transaction markers (KAFKA-12951)", []string{"L1", "L2", "L3", "L5", "S1"}, []Edit{
			{"core/changelog/restore.go", "\tr.advance(rd)\n\tp.Position", "\tif zooOn(\"restore-counts-records\") {\n\t\trd.Next = r.next\n\t\tif n := len(rd.Records); n > 0 {\n\t\t\trd.Next = max(r.next, rd.Records[n-1].Offset+1)\n\t\t}\n\t}\n\tr.advance(rd)\n\tp.Position"},
		}},
		{"position-beyond-round", "a store's position is ahead of the round that it holds (KAFKA-16017)", []string{"S1", "S6", "S7"}, []Edit{
			{"core/task/epoch.go", "Changelog:  next[s.changelog],\n", "Changelog:  next[s.changelog] + map[bool]int64{true: 2}[zooOn(\"position-beyond-round\")],\n"},
		}},
		{"tombstone-not-logged", "a deletion is not written to the changelog", []string{"S1", "S6", "S12"}, []Edit{
			{"core/task/epoch.go", "\t\tfor _, w := range s.fly.order {\n\t\t\tt.outs.changes", "\t\tfor _, w := range s.fly.order {\n\t\t\tif w.deleted && zooOn(\"tombstone-not-logged\") {\n\t\t\t\tcontinue\n\t\t\t}\n\t\t\tt.outs.changes"},
		}},
		{"change-not-logged", "some writes are in the store and not in the changelog: counts are lost with the disk (robinhood/faust #340)", []string{"S1", "S6", "S8", "S12", "S17"}, []Edit{
			{"core/task/epoch.go", "\t\t\tt.outs.changes = append(t.outs.changes, t.change(s, w))\n", "\t\t\tif zooOn(\"change-not-logged\") && w == s.fly.order[0] && len(s.fly.order) > 1 {\n\t\t\t\tcontinue\n\t\t\t}\n\t\t\tt.outs.changes = append(t.outs.changes, t.change(s, w))\n"},
		}},
		{"checksum-ignored", "a store does not notice that a bit of its log has changed", []string{"S1", "S6", "S7", "S12", "S17", "S21"}, []Edit{
			{"sim/simdisk/frame.go", "!= binary.BigEndian.Uint32(b[16:]) {\n", "!= binary.BigEndian.Uint32(b[16:]) && !zooOn(\"checksum-ignored\") {\n"},
		}},
		{"restore-ignores-tombstones", "a restore does not delete", []string{"S1", "S6", "S12", "S16"}, []Edit{
			{"core/changelog/restore.go", "\t\t\tp.Delete(rec.Key)\n", "\t\t\tif !zooOn(\"restore-ignores-tombstones\") {\n\t\t\t\tp.Delete(rec.Key)\n\t\t\t}\n"},
		}},
		{"drop-skipped", "what a store holds is not emptied before it is rebuilt (KAFKA-9891)", []string{"S1", "S6", "S12", "L1", "L3"}, []Edit{
			{"core/changelog/restore.go", "\t\tp.Drop, p.Fresh, p.Reason = true, true, ", "\t\tp.Drop, p.Fresh, p.Reason = !zooOn(\"drop-skipped\"), true, "},
		}},
		{"expired-tombstones", "a store that was away for longer than deletions are kept goes on from where it was (KAFKA-19943)", []string{"S1", "S6", "S12"}, []Edit{
			{"core/changelog/restore.go", "{ return retention > 0 && ", "{ return !zooOn(\"expired-tombstones\") && retention > 0 && "},
		}},
		{"standby-not-cleaned", "what a standby holds is not emptied before it is rebuilt (KAFKA-9891)", []string{"S1", "S6", "S12"}, []Edit{
			{"core/standby/replica.go", "\t\tif p.Drop {\n", "\t\tif p.Drop && !zooOn(\"standby-not-cleaned\") {\n"},
		}},
		{"cut-off-goes-on", "who was cut off from a changelog for longer than deletions are kept reads on where it was", []string{"S1", "S6", "S12", "S13"}, []Edit{
			{"core/changelog/restore.go", "\treturn rd.Next > r.next && ", "\treturn !zooOn(\"cut-off-goes-on\") && rd.Next > r.next && "},
		}},
		{"standby-skips", "a standby misses the first record of each fetch", []string{"S1", "S6", "S12"}, []Edit{
			{"core/standby/replica.go", "\tsp.Add(m.batch.Part(sp.plan.Space, r.gen), ev.Read)\n", "\tif zooOn(\"standby-skips\") && len(ev.Records) > 0 {\n\t\tev.Records = ev.Records[1:]\n\t}\n\tsp.Add(m.batch.Part(sp.plan.Space, r.gen), ev.Read)\n"},
		}},
		{"torn-log-accepted", "a store leaves out what is damaged of its log and goes on with what follows", []string{"S1", "S6", "S7", "S12", "S17", "S21"}, []Edit{
			{"sim/simdisk/frame.go", "ok && synced > end {\n", "ok && synced > end {\n\t\t\tif zooOn(\"torn-log-accepted\") {\n\t\t\t\trest, tail, _ := split(log[at:])\n\t\t\t\treturn append(payloads, rest...), at + tail, false\n\t\t\t}\n"},
		}},
	}
}

// standbyMutants are bugs of standby replicas.
func standbyMutants() []Mutant {
	return []Mutant{
		{"standby-stands-still", "a standby does not go on once restores on its worker are over", []string{"S13"}, []Edit{
			{"core/standby/replica.go", "\t\tdefault:\n\t\t\tm.emit(Resume{r.parts()})\n", "\t\tcase !zooOn(\"standby-stands-still\"):\n\t\t\tm.emit(Resume{r.parts()})\n"},
		}},
	}
}

// timeMutants are bugs of stream time, windows and timers.
func timeMutants() []Mutant {
	return []Mutant{
		{"stream-time-lost", "stream time is not restored: windows close again, late records count", []string{"S1", "S14", "S16"}, []Edit{
			{"core/worker/life.go", "\t\tstreamTime = max(streamTime, at)\n", "\t\tif !zooOn(\"stream-time-lost\") {\n\t\t\tstreamTime = max(streamTime, at)\n\t\t}\n"},
		}},
		{"window-twice", "windows that were closed are emitted again when stream time moves", []string{"S1", "S16"}, []Edit{
			{"core/task/window.go", "\tif from != record.NoTime {\n", "\tif from != record.NoTime && !zooOn(\"window-twice\") {\n"},
		}},
		{"close-inside-grace", "windows close without waiting for late records", []string{"S1", "S15"}, []Edit{
			{"core/task/window.go", "\tlife := spec.Size + spec.Grace\n", "\tlife := spec.Size + spec.Grace\n\tif zooOn(\"close-inside-grace\") {\n\t\tlife = spec.Size\n\t}\n"},
		}},
		{"timer-lost", "timers that came with a restored space do not fire", []string{"S1", "S16", "S19"}, []Edit{
			{"core/task/task.go", "space: t.byTable[tm.Name], next: unknownTime})", "space: t.byTable[tm.Name], next: map[bool]int64{true: 1 << 62, false: unknownTime}[zooOn(\"timer-lost\")]})"},
		}},
		{"timer-not-logged", "timers are not written to the changelog", []string{"S1", "S6", "S12", "S16", "S17"}, []Edit{
			{"core/task/epoch.go", "\t\ts.seal()\n", "\t\ts.seal()\n\t\tif zooOn(\"timer-not-logged\") && t.timerSpace(s) {\n\t\t\tcontinue\n\t\t}\n"},
			{"core/task/timer.go", "func (tm *timers) scope() *scope {\n", "func (t *Task) timerSpace(s *space) bool {\n\tfor _, tm := range t.timers {\n\t\tif tm.space == s && zooOn(\"timer-not-logged\") {\n\t\t\treturn true\n\t\t}\n\t}\n\treturn false\n}\n\nfunc (tm *timers) scope() *scope {\n"},
		}},
		{"journal-not-undone", "a failed attempt leaves its writes behind", []string{"S1"}, []Edit{
			{"core/task/journal.go", "\tfor len(j.writes) > mark {\n", "\tfor len(j.writes) > mark && !zooOn(\"journal-not-undone\") {\n"},
		}},
	}
}

// Missing lists the known bugs that weir has no place for.
func Missing() []Absent {
	return []Absent{
		{"KAFKA-14172", "a standby writes to the store and keeps no cache that could outlive a switch: a task that becomes active opens its spaces anew"},
		{"KAFKA-19536", "weir has no outer joins"},
		{"KAFKA-20685", "weir keeps no checkpoint beside the store: the position is written with the data in one batch, by restores and standbys as well"},
	}
}
