// Package archive reads archives of lines: buckets and local folders that hold
// what a delivery stream wrote, by standpipe or by Amazon Data Firehose.
//
// It promises that reading never ends early in silence. Bytes that stop in the
// middle of a compressed stream, do not match their checksum or are in a format
// nobody here reads are a *CorruptError that names the object, the format and
// the offset; a connection that breaks is taken up again where it broke, on
// condition that the object is still the same (ErrChanged); what a format
// cannot notice by itself (a file cut exactly between two blocks of xerial
// snappy) is said in Decode.
//
//	Store     a bucket's prefix or a folder: List in key order, Open
//	Decoder   raw bytes to plain bytes; the format is told by the bytes, never
//	          by the key, because Firehose writes gzip under any name
//	Decode    the same for one object
//
// Memory does not grow with an archive or an object: a listing holds one page
// (a bucket) or one directory (a folder), a decoder one block of its format.
package archive
