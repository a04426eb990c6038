// Package compare judges two archives of the same stream: a verdict somebody
// can act on, not a list of files that differ. Either side may have been
// written by standpipe or by Amazon Data Firehose, in any format, cut into
// whatever objects, in whatever order.
//
// It promises never to pass in silence: what could not be read, changed during
// the run, or is too young to be complete makes the verdict "incomplete"; and
// the number of differences is exact, however many there are.
//
// What is compared is the multiset of lines, the only unit Firehose's output
// still has. Two limits follow and the report repeats them: a line that was
// dropped once and doubled once elsewhere cancels out, and a line that the
// producer sent twice looks like one that was delivered twice.
//
//	list ──► cut ──► scan ──► peel ──────────────► locate ──► judge
//	                            │ too many            ▲
//	                            └──────► spill ───────┘
//
//	list    both archives, each object placed in the window by the time in its name
//	cut     the objects of both sides into slices, by time; that is the Plan
//	scan    every line of both sides once: decoded, hashed, added to a sketch
//	        of A minus B and to the totals of its hour
//	peel    the sum of the sketches gives the hashes that differ, see package sketch
//	spill   when it cannot: the lines of differing buckets go to disk, partition
//	        by partition, and are counted exactly (a Grace hash join)
//	locate  a second pass finds objects, line numbers and text of the hashes, and
//	        counts their copies in core and halo
//	judge   what each difference means, pure functions
//
// Scan and locate are done slice by slice, by Pass.Run, wherever the Executor
// has it run; the report is the same, byte for byte but for its Duration,
// however the objects were cut and whoever did what how often. Spill is done by
// the process that asked for the report.
//
// Edges of time: Firehose files an object under the arrival of its oldest
// record, so records near the edge of a window may lie in the folder before.
// Both sides are therefore read with a halo around the core window, and a line
// is missing in B when A's core has more copies than B's core and halo together,
// and the other way round. What differs in the halo alone is counted as edge
// and not judged.
//
// Memory: for each slice under way one sketch of about 60 bytes per difference
// it has room for, and the buffers of one object; the list of objects (some 300
// bytes each), and what is shown. Not the lines.
package compare
