//go:build !nolocal && !linux

package s3

import "os/exec"

// dieWithParent relies on the end of the child's standard input.
func dieWithParent(*exec.Cmd) {}
