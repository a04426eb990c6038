// Package consumer reads Kinesis shards: it lists them and their parents,
// fetches pages at the pace a shard allows, decodes them without garbage,
// unpacks KPL aggregates and cuts user records into lines. It knows nothing of
// leases, batches or S3.
//
// It promises, for each reader:
//
//   - every record after its start that is still retained when it is asked for
//     comes once, in order; an error, a lost answer or an expired iterator never
//     moves the position;
//   - the end of the shard is reported once, after its last record, and only
//     when the service said so twice over;
//   - records that may have left retention unread are reported as a Gap, once;
//   - it asks no more often than a shared shard can bear.
//
// Which iterator is asked for, and when:
//
//	start at a sequence number     AT_SEQUENCE_NUMBER, dropping records up to it:
//	                               seeing it proves that nothing was trimmed
//	  refused as too old           TRIM_HORIZON, dropping records up to it
//	after a record was read        AFTER_SEQUENCE_NUMBER of the last record read
//	  standing still for as long   AT_SEQUENCE_NUMBER of the last record read,
//	  as the retention             for the same proof
//	start at LATEST                LATEST, once ever; then AT_TIMESTAMP of that
//	                               moment until a record was read
//	start at AT_TIMESTAMP          AT_TIMESTAMP; LATEST if it lies in the future
//	start at TRIM_HORIZON          TRIM_HORIZON
//
// The end of a shard:
//
//	           no iterator,            ListShards: closed       no record,
//	           no children             or not listed            no iterator
//	reading ──────────────► doubtful ──────────────► closed ───────────────► ended
//	  │  ▲                     │ ListShards: open      │ ▲                     ▲
//	  │  └─────────────────────┘                       └─┘ records             │
//	  ├─── no iterator, children named ────────────────────────────────────────┤
//	  └─── not found, and ListShards does not list it: Gap ────────────────────┘
package consumer
