//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package kinesis

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// lockWait is how long to wait for another process to let go of the folder:
	// long enough for a predecessor that is just exiting.
	lockWait = time.Second
	lockPoll = 20 * time.Millisecond
)

// lockFolder keeps other servers out of dir until the file is closed or the
// process ends, however it ends. Two would append to the same files, and each
// would cut off what the other wrote as a torn tail.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for end := time.Now().Add(lockWait); ; <-tick.C {
		switch err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case err == nil:
			return f, nil
		case errors.Is(err, syscall.EINTR):
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return nil, errors.Join(fmt.Errorf("lock folder: %w", err), f.Close())
		case time.Now().After(end):
			return nil, errors.Join(errBusy, f.Close())
		}
	}
}
