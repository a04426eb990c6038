// Command standpipe archives Kinesis streams to S3. This package holds flags,
// signals and wiring and nothing else: each sub-command is one file, a struct
// whose fields are its flags and whose Run joins parts that live elsewhere.
//
// Results go to standard output, progress and errors to standard error. The
// exit codes are constants in exit.go and part of the interface.
package main
