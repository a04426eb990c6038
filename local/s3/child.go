//go:build !nolocal

package s3

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

const (
	objectsDir    = "objects"
	attributesDir = "attributes"

	filesAtOnce   = 64 // versitygw's own bound on threads that wait for the disk
	requestsMax   = 1000
	partsMax      = 10_000  // S3's
	copyBytesMax  = 5 << 30 // S3's
	settingsBytes = 64 << 10

	// goodbye is how long requests under way may take when the server stops.
	// versitygw alone would wait ten seconds for every connection on which nothing
	// was asked, and clients that dial ahead leave such ones. A request that is cut
	// was not acknowledged, and what was is kept whenever the process ends.
	goodbye = time.Second
)

// failure begins the line that says why the child ended.
const failure = "local S3 server: "

// ChildMain is the child's whole program; it returns the exit code. It serves
// until standard input ends. A signal that asks to stop, which reaches the whole
// process group from a terminal or a service manager, is the parent's to judge:
// it still has objects to deliver here.
func ChildMain([]string) int {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := serve(context.Background(), os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, failure+err.Error())
		return 1
	}
	return 0
}

func serve(ctx context.Context, stdin io.Reader) error {
	in := bufio.NewReaderSize(stdin, settingsBytes)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	store, err := open(o.Dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", o.Dir, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the process at the latest
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	served := make(chan error, 1)
	go func() { // ends with the process at the latest
		served <- embedgw.RunVersityGW(ctx, store, &embedgw.Config{
			RootUserAccess: o.AccessKey, RootUserSecret: o.SecretKey, Region: o.Region, Ports: []string{o.Addr},
			HealthPath: o.Health, Quiet: true, KeepAlive: true,
			MaxConnections: requestsMax, MaxRequests: requestsMax, MultipartMaxParts: partsMax,
		})
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", o.Addr, cmp.Or(err, errEnded))
	case <-ctx.Done():
	}
	timer := time.NewTimer(goodbye)
	defer timer.Stop()
	select {
	case err = <-served:
	case <-timer.C:
	}
	return err
}

var errEnded = errors.New("the server ended before it was asked to")

// open serves <dir>/objects. Attributes are kept in the files' own where the
// file system can, else beside them; a folder once begun that way stays so.
func open(dir string) (*posix.Posix, error) {
	objects, attributes := filepath.Join(dir, objectsDir), filepath.Join(dir, attributesDir)
	if err := os.MkdirAll(objects, 0o750); err != nil {
		return nil, err
	}
	opts := posix.PosixOpts{Concurrency: filesAtOnce, CopyObjectThreshold: copyBytesMax}
	_, err := os.Stat(attributes)
	if err != nil && (meta.XattrMeta{}).Test(objects) == nil {
		return posix.New(objects, meta.XattrMeta{}, opts)
	}
	if err := os.MkdirAll(attributes, 0o750); err != nil {
		return nil, err
	}
	beside, err := meta.NewSideCar(attributes)
	if err != nil {
		return nil, err
	}
	opts.SideCarDir = attributes
	return posix.New(objects, beside, opts)
}
