// Package listen opens ports and answers HTTP on them until a context ends. It
// promises that the error of a port that cannot be had names the flag to change,
// and that nobody delays a stop by holding a connection on which nothing was
// asked.
//
// It imports the root package only, so that every front door can share it and
// stay apart from the others.
package listen
