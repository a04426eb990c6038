// Package deflate compresses JSON lines and the like at the ratio of gzip's
// first level, within 3 %, for about two thirds of the processor time that
// klauspost/compress takes; it is the largest part of what an archiver does.
// It promises plain deflate (RFC 1951) that any reader undoes, at most ten
// bytes larger for each 64 KiB than what went in, and the same bytes for the
// same input whatever was compressed before.
//
//	matcher   finds repeats in a window of 32 KiB: one candidate a position, no search
//	huffman   lengths of codes from frequencies, canonical codes
//	header    a block's codes, in front of it
//	Encoder   64 KiB at a time: matches, codes, bits
//
// What makes it quick is that all it touches is 250 KiB that stay in the
// second-level cache while megabytes of other shards pass by, and that few
// branches depend on the data. Order of conditions, masks and the steps over
// literals were chosen by measuring; see docs/performance.md before changing
// them. Higher levels are left to klauspost/compress.
//
// It imports nothing of ours.
package deflate
