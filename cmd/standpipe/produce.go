package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/standpipe/standpipe/cmd/standpipe/internal/produce"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/internal/backoff"
)

type produceCommand struct {
	Stream string `placeholder:"NAME" help:"Kinesis stream, by name or ARN." xor:"to" required:""`
	URL    string `placeholder:"URL" help:"POST each line to this address instead." xor:"to" required:""`

	Format   string `default:"auto" enum:"auto,ndjson,csv" help:"ndjson: each line is a record. csv: each row becomes a JSON object named by the header. auto: by the file's name."`
	Encoding string `default:"utf-8" enum:"utf-8,cp949,euc-kr" help:"Encoding of the input: utf-8, cp949 or euc-kr."`
	Generate string `placeholder:"KIND" enum:",events" default:"" help:"Make records instead of reading them: events."`
	Seed     uint64 `default:"1" help:"Seed of --generate and of random keys with it; the same seed makes the same bytes."`
	Count    int64  `short:"n" placeholder:"N" help:"Stop after N records."`
	Repeat   int    `default:"1" placeholder:"N" help:"Read the files N times."`

	Key     string `default:"random" help:"Partition key: random, a field as $.name, or a fixed text."`
	Newline *bool  `negatable:"" help:"End each record in a newline (with --stream: on, with --url: off)."`
	Tag     bool   `help:"Add the fields _run and _n to each JSON object, for audits."`
	RunID   string `name:"run-id" placeholder:"ID" help:"The _run of --tag instead of a random one."`

	HotShard  shardName `placeholder:"ID" help:"Send everything to this shard, by its id or its number, whatever the keys say."`
	Aggregate bool      `help:"Pack records of one key into aggregates, as the KPL does; random keys change every 100 records."`

	Rate        recordRate    `placeholder:"N/s" help:"At most so many records: 200/s, 6000/m."`
	Concurrency int           `default:"1" help:"Requests in flight, 1 to 64. More than 1 gives up the order of the input."`
	GiveUpAfter time.Duration `default:"2m" help:"Fail after so long without progress."`
	RecordMax   int           `name:"max-record-size" placeholder:"BYTES" help:"Reject larger records (default: what the stream allows)."`

	JSON  bool     `help:"Write the summary as JSON."`
	Quiet bool     `short:"q" help:"No progress."`
	Files []string `arg:"" optional:"" name:"file" help:"Files, plain or gzip or zstd; - or none for standard input."`
}

func (produceCommand) Help() string {
	return `Lines may have up to 10 MiB. What can't be sent is rejected with its file and line, the rest
goes on, and the exit code is 3. A throttled stream gets only the refused records again. A lost
answer is asked for again, which can store a record twice.

With --url, an answer outside 2xx is a failure, and so is a 200 whose body has a "__type":
API Gateway answers 200 to errors of Kinesis unless it is told otherwise.

Examples:

    standpipe produce --stream class-stream events.ndjson.gz
    standpipe produce --stream class-stream --key '$.danji_id' --encoding cp949 danji_master.csv
    standpipe produce --url http://127.0.0.1:8080/PROD/v1 --rate 200/s danji_master.csv
    standpipe produce --stream class-stream --generate events --count 20000 --tag --json
    standpipe produce --stream class-stream --generate events --count 5000 --aggregate --hot-shard 0
    tail -f app.log | standpipe produce --stream class-stream`
}

// concurrencyMax keeps a typing error from opening a thousand connections.
const concurrencyMax = 64

func (p *produceCommand) Run(ctx context.Context, g *globals, out *console) error {
	if err := p.check(); err != nil {
		return usage(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	source, input, err := p.source(ctx, out)
	if err != nil {
		return usage(err)
	}
	cfg, err := p.config(ctx, g)
	if err != nil {
		return err
	}
	show := newProgress(out, p.Quiet, p.total(input))
	cfg.OnReject, cfg.OnWait = show.rejected, show.waiting
	sender := produce.New(cfg)
	stop := show.follow(sender.Summary, input)
	err = sender.Run(ctx, source)
	stop()
	summary := sender.Summary()
	if werr := p.summarise(out, summary, show); werr != nil && err == nil {
		err = werr
	}
	if err == nil && summary.Rejected > 0 {
		err = &exitError{code: exitRejected, err: fmt.Errorf("%s of %s records rejected",
			formatCount(summary.Rejected), formatCount(summary.Records+summary.Rejected))}
	}
	return err
}

// check finds what kong can't.
func (p *produceCommand) check() error {
	switch {
	case p.Generate != "" && len(p.Files) > 0:
		return errors.New("--generate makes records: name no files")
	case p.Generate != "" && p.Repeat > 1:
		return errors.New("--repeat is for files; --generate goes on by itself")
	case p.Concurrency < 1 || p.Concurrency > concurrencyMax:
		return fmt.Errorf("--concurrency %d: give 1 to %d", p.Concurrency, concurrencyMax)
	case p.Count < 0:
		return fmt.Errorf("--count %d: give a positive number", p.Count)
	case p.Repeat < 1:
		return fmt.Errorf("--repeat %d: give 1 or more", p.Repeat)
	case p.RecordMax < 0 || p.RecordMax > produce.LineMax:
		return fmt.Errorf("--max-record-size %d: give 1 to %d bytes", p.RecordMax, produce.LineMax)
	case p.URL != "" && (p.HotShard != "" || p.Aggregate):
		return errors.New("--hot-shard and --aggregate are about Kinesis records: they need --stream")
	case p.RunID != "" && !p.Tag:
		return errors.New("--run-id is part of --tag: give both")
	case p.GiveUpAfter <= 0:
		return fmt.Errorf("--give-up-after %v: give a positive duration like 2m", p.GiveUpAfter)
	}
	return nil
}

// source is the generator, or the input and what counts its bytes.
func (p *produceCommand) source(ctx context.Context, out *console) (produce.Source, *produce.Input, error) {
	if p.Generate != "" {
		return produce.Events(ctx, p.Seed), nil, nil
	}
	input := &produce.Input{
		Files: p.Files, Stdin: interruptible(ctx, out.stdin),
		Format: p.Format, Encoding: p.Encoding, Repeat: p.Repeat,
	}
	if len(input.Files) == 0 {
		input.Files = []string{"-"}
		if isTerminal(out.stdin) && !p.Quiet {
			out.note("standpipe: reading from the terminal; end with Ctrl-D")
		}
	}
	return input.Records(ctx), input, input.Check()
}

// total is the goal of the progress bar: records when they are counted, bytes
// of the files otherwise, -1 when nobody knows.
func (p *produceCommand) total(input *produce.Input) goal {
	switch {
	case p.Count > 0:
		return goal{max: p.Count}
	case input != nil:
		return goal{max: input.Size(), bytes: true}
	}
	return goal{max: -1}
}

func (p *produceCommand) config(ctx context.Context, g *globals) (produce.Config, error) {
	seed := [2]uint64{p.Seed, 0}
	if p.Generate == "" {
		seed = [2]uint64{backoff.Seed(), backoff.Seed()}
	}
	key, err := produce.ParseKey(p.Key, mathrand.New(mathrand.NewPCG(seed[0], seed[1])))
	if err != nil {
		return produce.Config{}, usage(err)
	}
	if p.Aggregate && (p.Key == "random" || p.Key == "") {
		key = produce.KeyRuns(key)
	}
	cfg := produce.Config{
		Key: key, Count: p.Count, Rate: p.Rate.limiter(),
		Concurrency: p.Concurrency, GiveUpAfter: p.GiveUpAfter,
		Newline: p.URL == "",
	}
	if p.Newline != nil {
		cfg.Newline = *p.Newline
	}
	if p.Tag {
		cfg.Tag = &produce.Tag{Run: p.runID()}
	}
	if p.URL != "" {
		cfg.RecordMax = produce.LineMax
		cfg.Target, err = p.post()
	} else {
		cfg.Target, cfg.RecordMax, err = p.open(ctx, g)
	}
	if p.RecordMax > 0 {
		cfg.RecordMax = p.RecordMax
	}
	return cfg, err
}

func (p *produceCommand) post() (produce.Target, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = p.Concurrency
	target, err := produce.OpenPost(p.URL, transport)
	if err != nil {
		return nil, usage(err)
	}
	return target, nil
}

func (p *produceCommand) open(ctx context.Context, g *globals) (produce.Target, int, error) {
	cfg, err := awsclient.Load(ctx, g.Region)
	if err != nil {
		return nil, 0, usage(err)
	}
	stream, err := produce.OpenStream(ctx, awsclient.Kinesis(cfg), p.Stream)
	if err != nil {
		return nil, 0, err
	}
	stream.Aggregate = p.Aggregate
	if p.HotShard != "" {
		if err := stream.Aim(ctx, string(p.HotShard)); err != nil {
			return nil, 0, err
		}
	}
	return stream, stream.RecordMax(), nil
}

func (p *produceCommand) runID() string {
	if p.RunID != "" {
		return p.RunID
	}
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

func (p *produceCommand) summarise(out *console, s produce.Summary, show *progress) error {
	show.hidden(out)
	if p.JSON {
		return out.writeJSON(s)
	}
	_, err := fmt.Fprintln(out.stdout, summaryText(s))
	return err
}

// summaryText is a summary for people, on one line or more.
func summaryText(s produce.Summary) string {
	var b strings.Builder
	fmt.Fprintf(&b, "sent %s records, %s, in %s (%s records/s) to %s", formatCount(s.Records), formatBytes(s.Bytes),
		formatAge(time.Duration(s.Seconds*float64(time.Second))), formatCount(int64(s.Rate+0.5)), s.Target)
	for _, part := range []struct {
		n    int64
		what string
	}{{s.Retried, "retried"}, {s.Rejected, "rejected"}, {s.Unsent, "read but not sent"}} {
		if part.n > 0 {
			fmt.Fprintf(&b, ", %s %s", formatCount(part.n), part.what)
		}
	}
	if s.Run != "" {
		fmt.Fprintf(&b, ", run %s", s.Run)
	}
	return b.String()
}

// A recordRate is --rate; zero is no limit.
type recordRate float64

// UnmarshalText reads "200", "200/s", "6000/m" and "1000/h".
func (r *recordRate) UnmarshalText(text []byte) error {
	number, unit, _ := strings.Cut(string(text), "/")
	n, err := strconv.ParseFloat(number, 64)
	i := slices.Index([]string{"", "s", "m", "h"}, unit)
	if err != nil || i < 0 || !(n > 0 && n <= 1e9) {
		return fmt.Errorf("rate %q: give records per time, like 200/s or 6000/m", text)
	}
	*r = recordRate(n / []float64{1, 1, 60, 3600}[i])
	return nil
}

// limiter allows bursts of a tenth of a second, one record at least.
func (r recordRate) limiter() *rate.Limiter {
	if r == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(r), max(1, int(r/10)))
}
