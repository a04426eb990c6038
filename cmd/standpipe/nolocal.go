//go:build nolocal

package main

// localCommands are left out of the image: it has no servers of its own.
type localCommands struct{}

// child is the program of a hidden sub-command; there is none here.
func child([]string) (code int, ok bool) { return 0, false }
