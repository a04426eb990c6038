//go:build !nolocal

// Package local runs what a laptop lacks: a Kinesis-compatible server and an
// S3 server, on loopback, with everything kept under one folder.
//
// It promises that both servers answer when Start returns, that a restart on
// the same folder continues where the last one ended, however that ended, and
// that nothing outlives the process. It knows nothing of the archiver that
// reads from the one and writes to the other.
//
// The build tag nolocal leaves the package out of the binary.
package local

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/listen"
	"github.com/standpipe/standpipe/local/kinesis"
	"github.com/standpipe/standpipe/local/s3"
)

// Account is the account id in the ARNs of the local servers.
const Account = "000000000000"

// goodbye is how long requests under way may take when the servers stop.
const goodbye = 2 * time.Second

// Config says what to serve.
type Config struct {
	// Dir keeps streams, objects and the key to them.
	Dir string
	// KinesisAddr, AdminAddr and S3Addr are host:port; port 0 picks a free one.
	KinesisAddr, AdminAddr, S3Addr string
	Region                         string
	// Stream is created with Shards shards unless it is there; so is Bucket.
	Stream string
	Shards int
	Bucket string
	// Logger may be nil.
	Logger *zap.Logger
}

// Endpoints says how to reach the servers. Its JSON form is endpoints.json.
type Endpoints struct {
	Kinesis      string `json:"kinesis"`
	KinesisAdmin string `json:"kinesisAdmin"`
	S3           string `json:"s3"`
	Firehose     string `json:"firehose"`
	// Gateway and Status belong to who uses the servers; it sets Gateway, and
	// Status through Publish.
	Gateway         string `json:"gateway,omitempty"`
	Status          string `json:"status"`
	Stream          string `json:"stream"`
	Bucket          string `json:"bucket"`
	Region          string `json:"region"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

// A Stack is the running servers. Stop ends them.
type Stack struct {
	Endpoints Endpoints

	cfg     Config
	kinesis *kinesis.Server
	s3      *s3.Process
	log     *zap.Logger

	serving context.Context // until Stop
	stop    context.CancelFunc
	group   sync.WaitGroup // of those who serve
	failed  chan error     // holds the first server's that ended by itself
}

// Start starts the servers. ctx bounds the start only. Errors name the flag of
// `standpipe local` that mends them.
func Start(ctx context.Context, cfg Config) (_ *Stack, err error) {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	s := &Stack{cfg: cfg, log: cfg.Logger, failed: make(chan error, 1)}
	s.serving, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return s, &standpipe.Error{
			Class: standpipe.Fatal, Op: "use the folder " + cfg.Dir, Err: err,
			Hint: "--data must name a folder this user may write",
		}
	}
	key, err := accessKey(cfg.Dir)
	if err != nil {
		return s, err
	}
	s.Endpoints = Endpoints{Stream: cfg.Stream, Bucket: cfg.Bucket, Region: cfg.Region, AccessKeyID: key.ID, SecretAccessKey: key.Secret}
	if err := s.startKinesis(ctx); err != nil {
		return s, err
	}
	return s, s.startS3(ctx)
}

func (s *Stack) startKinesis(ctx context.Context) (err error) {
	s.kinesis, err = kinesis.New(kinesis.Config{
		Dir: filepath.Join(s.cfg.Dir, "kinesis"), Region: s.cfg.Region, Account: Account, Logger: s.log.Named("kinesis"),
	})
	if err != nil {
		return fmt.Errorf("start the Kinesis server: %w", err)
	}
	if err := s.kinesis.EnsureStream(s.cfg.Stream, s.cfg.Shards); err != nil {
		return err
	}
	if s.Endpoints.Kinesis, err = s.Serve(ctx, "--kinesis-addr", s.cfg.KinesisAddr, s.kinesis.HTTPServer()); err != nil {
		return err
	}
	s.Endpoints.KinesisAdmin, err = s.Serve(ctx, "--admin-addr", s.cfg.AdminAddr, s.kinesis.AdminServer())
	return err
}

func (s *Stack) startS3(ctx context.Context) (err error) {
	s.s3, err = s3.Start(ctx, s3.Config{
		Dir: filepath.Join(s.cfg.Dir, "s3"), Addr: s.cfg.S3Addr, Region: s.cfg.Region,
		AccessKey: s.Endpoints.AccessKeyID, SecretKey: s.Endpoints.SecretAccessKey,
		Log: zap.NewStdLog(s.log.Named("s3")).Writer(),
	})
	if err != nil {
		return &standpipe.Error{
			Class: standpipe.Fatal, Op: "start the S3 server", Err: err,
			Hint: "if the port is taken, give --s3-addr 127.0.0.1:0",
		}
	}
	s.Endpoints.S3 = s.s3.Endpoint()
	s.group.Go(func() {
		select {
		case <-s.s3.Done():
			s.fail(fmt.Errorf("the S3 server ended: %w", cmp.Or(s.s3.Err(), errUnasked)))
		case <-s.serving.Done():
		}
	})
	return s.s3.CreateBucket(ctx, s.cfg.Bucket)
}

// Serve listens on addr for one more server that lives as long as the stack,
// and returns its URL. flag is the one that names addr.
func (s *Stack) Serve(ctx context.Context, flag, addr string, srv *http.Server) (string, error) {
	l, err := listen.TCP(ctx, flag, addr)
	if err != nil {
		return "", err
	}
	s.group.Go(func() {
		err := listen.HTTP(s.serving, srv, l, goodbye)
		if errors.Is(err, listen.ErrCut) {
			s.log.Warn("requests were cut; their clients got no answer", zap.String("address", l.Addr().String()))
		} else if err != nil {
			s.fail(err)
		}
	})
	return "http://" + l.Addr().String(), nil
}

var errUnasked = errors.New("nobody asked it to")

// fail keeps the first failure; one is enough to stop.
func (s *Stack) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// Failed yields why a server ended by itself: nothing can be delivered any more.
func (s *Stack) Failed() <-chan error { return s.failed }

// Publish writes endpoints.json, when everything that belongs to it answers.
func (s *Stack) Publish(status string) error {
	s.Endpoints.Status = status
	b, err := json.MarshalIndent(s.Endpoints, "", "  ")
	if err != nil {
		return err
	}
	return replace(filepath.Join(s.cfg.Dir, "endpoints.json"), append(b, '\n'))
}

// Stop ends the servers and waits for them. What was acknowledged is kept.
func (s *Stack) Stop() error {
	s.stop()
	s.group.Wait()
	var errs []error
	if s.kinesis != nil {
		errs = append(errs, s.kinesis.Close())
	}
	if s.s3 != nil {
		errs = append(errs, s.s3.Stop())
	}
	return errors.Join(errs...)
}

type key struct {
	ID     string `json:"accessKeyId"`
	Secret string `json:"secretAccessKey"`
}

// accessKey is the local S3's only key: made at the first start and kept, so
// that no two folders share one and none is written into any program.
func accessKey(dir string) (k key, err error) {
	file := filepath.Join(dir, "credentials.json")
	b, err := os.ReadFile(file)
	if err == nil {
		if err := json.Unmarshal(b, &k); err != nil || k.ID == "" || k.Secret == "" {
			return k, &standpipe.Error{
				Class: standpipe.Fatal, Op: "read " + file, Err: errors.New("it holds no key"),
				Hint: "delete it; a new one is made at the next start",
			}
		}
		return k, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return k, fmt.Errorf("read the local key: %w", err)
	}
	k = key{ID: "local" + rand.Text()[:15], Secret: rand.Text() + rand.Text()}
	if b, err = json.Marshal(k); err != nil {
		return k, err
	}
	return k, replace(file, b)
}

// replace writes a file so that a reader sees the old one or the new one whole.
func replace(file string, b []byte) error {
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
