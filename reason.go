package standpipe

// A SealReason says why open batches were sealed. It is data: logs, metrics,
// manifests and object metadata all carry it.
type SealReason string

// The reasons to seal.
const (
	SealBytes    SealReason = "bytes"     // a batch reached its size, counted before compression
	SealRecords  SealReason = "records"   // a batch reached its number of records
	SealAge      SealReason = "age"       // the oldest batch reached its interval
	SealMemory   SealReason = "memory"    // the process's byte budget was short
	SealShardEnd SealReason = "shard_end" // the shard was read to its end
	SealHandoff  SealReason = "handoff"   // the lease goes to another worker
	SealShutdown SealReason = "shutdown"  // the process was asked to stop
)

// SealReasons lists every reason, for pre-created metrics series.
var SealReasons = []SealReason{
	SealBytes, SealRecords, SealAge, SealMemory, SealShardEnd, SealHandoff, SealShutdown,
}

// A StopReason says why a worker left a shard; the reason alone decides
// whether a checkpoint is allowed: ShardEnded must, Shutdown may, LeaseLost
// must not (KCL ShutdownReason).
type StopReason string

// The reasons to stop.
const (
	StopShardEnd  StopReason = "shard_end"
	StopShutdown  StopReason = "shutdown"
	StopLeaseLost StopReason = "lease_lost"
	StopFailed    StopReason = "failed"
)
