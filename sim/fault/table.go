package fault

// A Tier is where a fault is made to happen.
type Tier string

// Tiers.
const (
	// App is package sim: the core over topics in memory, in virtual time.
	App Tier = "app driver"
	// Cluster is package sim/cluster: production code in a simulated world.
	Cluster Tier = "cluster"
	// Core are scripts of events for the step machines of core.
	Core Tier = "core scripts"
	// Native are tests of one adapter over a file system or server that is
	// made to fail.
	Native Tier = "adapter tests"
	// Real are real brokers, stores and processes (package integration).
	Real Tier = "integration"
)

// A Row says how one fault of the list F1 to F40 is covered.
type Row struct {
	Number int
	What   string
	Tiers  []Tier
	// Kinds are those of the cluster tier. By says how it happens where it
	// is no kind of its own, or why the cluster tier cannot have it.
	Kinds []Kind
	By    string
}

// Table lists all faults, in order of their numbers.
func Table() []Row {
	in := func(ts ...Tier) []Tier { return ts }
	kinds := func(ks ...Kind) []Kind { return ks }
	return []Row{
		{1, "crash at a step boundary", in(App, Cluster, Core, Real), kinds(CrashPoint, CrashRequest), ""},
		{2, "crash during recovery", in(App, Cluster, Core), kinds(CrashRestore), ""},
		{3, "long pause, then wakes as a zombie", in(App, Cluster), kinds(Pause), ""},
		{4, "user code slower than the group's patience", in(Cluster, Core), kinds(SlowCode), "torture only: user code has to take part"},
		{5, "whole fleet killed", in(Cluster), kinds(Fleet), ""},
		{6, "restart with an old disk", in(App, Cluster, Real), kinds(Crash), "the disk is up to 30 s behind"},
		{7, "restart with an empty disk", in(App, Cluster), kinds(CrashEmpty), ""},
		{8, "restart and rolling upgrade", in(Cluster), kinds(Restart, Upgrade), "the new version has other settings"},
		{9, "panic in user code", in(App, Cluster), kinds(Panic), ""},
		{10, "stop that cannot finish", in(Cluster, Core), kinds(StopCutOff), ""},
		{11, "request lost", in(Cluster, Native), kinds(LoseRequest), ""},
		{12, "response lost after success", in(App, Cluster, Native), kinds(LoseResponse, AfterApply), ""},
		{13, "duplicate", in(Cluster), nil, "TCP duplicates nothing; clients do, after F12: franz-go sends the request again"},
		{14, "reorder across connections", in(Cluster), nil, "always: each connection draws delays of its own; more of it with F15 and F17"},
		{15, "delay past a timeout", in(Cluster, Native), kinds(Late, Slow), ""},
		{16, "asymmetric partition", in(Cluster, Real), kinds(OneWay, Partition, HalfOpen), ""},
		{17, "clog, then release, in order or at random", in(Cluster), kinds(Clog, Jumble), ""},
		{18, "reset, also in mid-frame", in(Cluster, Native), kinds(CutFrame, Reset), ""},
		{19, "leader change", in(Cluster, Real), kinds(MoveLeader), ""},
		{20, "unclean election truncates an acknowledged tail", in(Core), nil, "kfake has one log for all brokers and cannot lose its end"},
		{21, "group coordinator moves", in(Cluster, Real), kinds(MoveCoordinate), ""},
		{22, "transaction coordinator crashes between prepare and markers", in(Real), nil, "kfake decides and marks in one step; what a client sees of it, CONCURRENT_TRANSACTIONS and an EndTxn without an answer, comes with F24 and F12"},
		{23, "partial batch failure", in(Cluster), kinds(PartialProduce), ""},
		{24, "broker answers with errors, or slowly", in(Cluster, Native), kinds(BrokerError), ""},
		{25, "transaction timeout", in(App, Cluster, Native), kinds(TxnTimeout), ""},
		{26, "compaction or retention under a reader", in(App, Cluster), kinds(Compact), "the log start moves with the purge of repartition topics"},
		{27, "tombstones expire while a worker is away, or cut off", in(App, Cluster), kinds(Tombstones, CutOff), "brokers keep deletions for 8 s, 20 s or a day, by the seed"},
		{28, "topic deleted, partitions added", in(Native), nil, "an operator's mistake that stops the application; there is no result to compare"},
		{29, "authorization error in mid-run", in(Cluster), kinds(Denied), ""},
		{30, "rebalance during processing, commit or restore", in(App, Cluster), kinds(Join), ""},
		{31, "two members believe they own a partition", in(App, Cluster), nil, "F3 and F16: the member that was cut off goes on until it hears of it"},
		{32, "standby becomes active, active becomes standby", in(App, Cluster, Core), nil, "runs have 0 to 2 standbys, by the seed, and tasks move with most faults"},
		{33, "flapping member", in(App, Cluster), kinds(Flap), ""},
		{34, "torn write", in(Cluster, Native), kinds(PowerLoss), ""},
		{35, "unsynced data lost, or kept out of order", in(Cluster, Native), nil, "F34 keeps a random part of what was not synced"},
		{36, "bit flip", in(Cluster, Native), kinds(FlipBit), ""},
		{37, "disk full", in(Cluster, Native), kinds(DiskFull), ""},
		{38, "sync error or very slow disk", in(Cluster, Native), kinds(SyncError, SlowDisk), ""},
		{39, "remote store times out after applying", in(Native), nil, "the tests of stores/aerospike over its fake server"},
		{40, "adversarial records and clocks", in(App, Cluster), nil, "workloads have poison pills, late, equal and far future timestamps; all workers of a run share one clock"},
	}
}
