// Package cluster runs an application the way production does, on several
// workers against several brokers, in a world that a seed decides.
//
// What runs is the production worker (package runtime), the production
// transport (transports/kafka, franz-go) and kfake brokers. Simulated are the
// network between them (sim/simnet), the disks (sim/simdisk, with a store of
// its own) and, under `weir sim run`, time, randomness and the order of
// goroutines. Run works natively as well, and is not deterministic there.
//
// Run is the entry; Config says what it needs, and only the application is
// required:
//
//	func TestCluster(t *testing.T) {
//		cluster.SkipUnlessSimulated(t)
//		cluster.Run(t, cluster.Config{
//			App: newApp,
//			Load: func(rng *rand.Rand, i int) cluster.Input {
//				return cluster.Record(orders, customers[rng.IntN(8)], order(i), day.Add(time.Duration(i)*time.Minute))
//			},
//		})
//	}
//
// Without a Model the invariants of sim/check that need none are checked all
// the same: offsets, atomic rounds, tables and their changelogs, single
// writers, restores, liveness.
//
// A run draws a workload and a plan of faults from its seed, lets faults
// happen for a while, heals everything, waits until the application has
// caught up, stops it, and checks the whole history (sim/check).
//
// Environment, all optional:
//
//	WEIR_SIM_SEED     the seed
//	WEIR_SIM_KEEP     numbers of the faults to keep, as 0,3,4; "none" for none
//	WEIR_SIM_RECORDS  how many records to send, instead of Config.Records
//	WEIR_SIM_ONLY     numbers of the records to send, as 0,3,4; "none" for none
//	WEIR_SIM_WITHOUT  invariants not to check, as S1,S6
//	WEIR_SIM_HISTORY  write the history to this file
//	WEIR_SIM_LOG      log level: debug, info, warn, error
//	WEIR_SIM_LOG_FROM  log from this event on
//	WEIR_SIM_STACKS   print all goroutines at this event
//	WEIR_SIM_STATE    print what is known of all workers at this event
//	WEIR_SIM_UNTIL    end at this event, with the state and what the disks hold
//
// Events are numbered as the trace numbers them. None of those of the last
// group changes what happens before.
package cluster
