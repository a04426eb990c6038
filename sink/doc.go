// Package sink turns lines into objects and gives them names. It promises that
// an object is either staged (durable, invisible, named by a token that can be
// carried to another process) or visible whole, never half; and that the bytes
// of an object are one ordinary gzip member, zstd stream or plain text, however
// many encoders worked on it.
//
//	Sink     where objects live; backends in folder, memory and s3, all of
//	         which pass the suite in sinktest
//	Keyer    Firehose's prefixes and object names, as a function of the arrival
//	         time of the oldest record
//	Codec    none, gzip, zstd: extension and Content-Encoding
//	Slots    the process's encoders: a semaphore, because CPU and memory grow
//	         with cores and not with shards
//	Writer   one open object of one shard and prefix
//
// A Writer's life, driven by the one goroutine that owns it:
//
//	      Append (memory only)          Stage
//	open ───────────────────► finished ──────► staged ──► Sink.Publish
//	  │        Finish              │
//	  │ Upload: full parts         │
//	  └──────────── Abandon ◄──────┘
package sink
