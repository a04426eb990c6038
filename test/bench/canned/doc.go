// Package canned makes the input of the benchmarks: payloads like those people
// archive, and GetRecords answers that carry them as Kinesis writes them.
//
// It promises that the same kind and seed give the same bytes, that payloads
// have the entropy of real ones (fresh identifiers, addresses, times and
// amounts between words that repeat), and that an answer is made by copying
// and patching, so that a stub takes little from the cores it shares with what
// it measures.
package canned
