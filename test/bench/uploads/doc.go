// Package uploads measures whether uploads of sealed objects would be no worse
// off on taskq's memqueue than on the goroutines that do them today:
//
//	go test ./test/bench/uploads -run '^$' -bench . -benchtime 20x
//
// Both ways send the same objects through the real sink to a stub of S3 in the
// same process, within the same budget of bytes. They alternate within a round,
// and each begins every other round, so that a noisy minute meets both. The
// figures are medians over the rounds, for one upload (begin, one part, publish):
// processor time of the whole process, the stub's included, and wall time.
package uploads
