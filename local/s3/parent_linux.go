//go:build !nolocal

package s3

import (
	"os/exec"
	"syscall"
)

// dieWithParent covers a parent that is killed while the pipe is held open by
// somebody who inherited it.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
