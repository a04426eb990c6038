//go:build !nolocal

// Package s3 runs an S3 server for one machine: versitygw over a folder, in a
// child process that is this same binary. It promises that the server listens
// where it was told and nowhere else, that it answers when Start returns, and
// that it dies with its parent, however that dies.
//
// A child, because versitygw changes the working directory, allows one instance
// per process and opens its own port. The settings go to the child through its
// standard input (a secret does not belong in an argument list), which then
// stays open: its end is the order to stop. Data survive kill -9 but not a power
// failure, as versitygw does not fsync; objects are plain files in
// <Dir>/objects/<bucket>.
//
// The build tag nolocal leaves the package out of the binary.
package s3

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/standpipe/standpipe/internal/listen"
)

// ChildCommand is the hidden sub-command that must call ChildMain.
const ChildCommand = "__local-s3"

const (
	startTimeout = 30 * time.Second
	// stopTimeout is above the child's own goodbye.
	stopTimeout  = 5 * time.Second
	pollInterval = 20 * time.Millisecond
	// portAttempts: a free port can be taken between our look and the child's.
	portAttempts = 3
)

// Config says what to serve. Dir and the keys are required.
type Config struct {
	// Dir keeps buckets and objects; it is created. A relative path is taken from
	// the parent's working directory.
	Dir string
	// Addr is host:port, default 127.0.0.1:0; without a host it is loopback, and
	// port 0 picks a free one.
	Addr string
	// AccessKey and SecretKey are the only account's.
	AccessKey, SecretKey string
	// Region defaults to us-east-1.
	Region string
	// Executable starts the child, default this binary with ChildCommand.
	Executable []string
	// Log receives what the server prints, default nothing.
	Log io.Writer
}

// A Process is a running server. Its methods are safe for concurrent use.
type Process struct {
	cfg   Config
	addr  string
	stdin io.Closer
	cmd   *exec.Cmd
	said  *lastWords
	done  chan struct{} // closed when the child has ended
	err   error         // valid after done
}

// order is what the child reads from its standard input.
type order struct {
	Dir, Addr, AccessKey, SecretKey, Region, Health string
}

// Start runs the server and returns when it answers. ctx bounds the start only.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		p, err := start(ctx, cfg)
		if err == nil {
			return p, nil
		}
		_, port, _ := net.SplitHostPort(cfg.Addr)
		if port != "0" || attempt == portAttempts || ctx.Err() != nil {
			return nil, fmt.Errorf("start the local S3 server on %s: %w", cfg.Addr, err)
		}
	}
}

func (c Config) complete() (Config, error) {
	if c.Dir == "" || c.AccessKey == "" || c.SecretKey == "" {
		return c, errors.New("the local S3 server needs a folder, an access key and a secret key")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, fmt.Errorf("find the local S3 server's folder: %w", err)
	}
	c.Dir = dir
	if c.Addr == "" {
		c.Addr = ":0"
	}
	c.Addr = listen.Loopback(c.Addr)
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if len(c.Executable) == 0 {
		self, err := os.Executable()
		if err != nil {
			return c, fmt.Errorf("find this binary: %w", err)
		}
		c.Executable = []string{self, ChildCommand}
	}
	return c, nil
}

func start(ctx context.Context, cfg Config) (*Process, error) {
	addr, err := freeAddr(ctx, cfg.Addr)
	if err != nil {
		return nil, err
	}
	// Whoever else answers on the port does not know this path.
	o := order{
		Dir: cfg.Dir, Addr: addr, AccessKey: cfg.AccessKey, SecretKey: cfg.SecretKey, Region: cfg.Region,
		Health: "/health-" + rand.Text(),
	}
	p := &Process{cfg: cfg, addr: addr, said: &lastWords{next: cfg.Log}, done: make(chan struct{})}
	if err := p.run(o); err != nil {
		return nil, err
	}
	if err := p.await(ctx, o.Health); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func freeAddr(ctx context.Context, addr string) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// run starts the child on a thread of its own that lives as long as the child:
// the kernel sends the parent-death signal when that thread ends.
func (p *Process) run(o order) error {
	settings, err := json.Marshal(o)
	if err != nil {
		return err
	}
	p.cmd = exec.Command(p.cfg.Executable[0], p.cfg.Executable[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said // one writer: what it gets is not mixed
	dieWithParent(p.cmd)
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	p.stdin = stdin
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return err
	}
	if _, err := stdin.Write(append(settings, '\n')); err != nil {
		return errors.Join(fmt.Errorf("send the settings: %w", err), p.Stop())
	}
	return nil
}

// await polls until the child answers.
func (p *Process) await(ctx context.Context, health string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Endpoint()+health, nil)
		if err != nil {
			return err
		}
		if res, err := client.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.done:
			return fmt.Errorf("the server ended: %w", p.Err())
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Addr is host:port.
func (p *Process) Addr() string { return p.addr }

// Endpoint is the URL for AWS_ENDPOINT_URL_S3.
func (p *Process) Endpoint() string { return "http://" + p.addr }

// Done is closed when the child has ended, asked or not.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the child ended, with the last it said, once Done is closed. It
// is nil when the child ended well, which nobody but Stop asks it to.
func (p *Process) Err() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	if words := p.said.String(); p.err != nil && words != "" {
		return fmt.Errorf("%w; it said: %s", p.err, words)
	}
	return p.err
}

// AWS is a configuration for clients of this server.
func (p *Process) AWS() aws.Config {
	return aws.Config{
		Region:       p.cfg.Region,
		BaseEndpoint: aws.String(p.Endpoint()),
		Credentials:  credentials.NewStaticCredentialsProvider(p.cfg.AccessKey, p.cfg.SecretKey, ""),
	}
}

// CreateBucket creates a bucket; that it exists is not an error.
func (p *Process) CreateBucket(ctx context.Context, name string) error {
	client := awss3.NewFromConfig(p.AWS(), func(o *awss3.Options) { o.UsePathStyle = true })
	_, err := client.CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: &name})
	if _, mine := errors.AsType[*types.BucketAlreadyOwnedByYou](err); mine {
		return nil
	}
	if _, exists := errors.AsType[*types.BucketAlreadyExists](err); exists {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create bucket %s: %w", name, err)
	}
	return nil
}

// Stop asks the child to end by closing its standard input, waits, and kills it
// if it does not. It may be called more than once.
func (p *Process) Stop() error {
	// Wait closes the pipe too; that it is closed already is fine.
	_ = p.stdin.Close()
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("kill the local S3 server: %w", err)
		}
		<-p.done
	}
	return nil
}
