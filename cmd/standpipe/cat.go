package main

import (
	"bufio"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/standpipe/standpipe/cmd/standpipe/internal/cat"
	"github.com/standpipe/standpipe/internal/awsclient"
)

type catCommand struct {
	Limit  int64    `short:"n" default:"-1" placeholder:"N" help:"Stop after N lines."`
	Own    bool     `help:"Include standpipe's own files under _standpipe/."`
	Places []string `arg:"" name:"place" help:"s3://bucket/key, s3://bucket/prefix/ with the slash, a file, a folder, or - for standard input."`
}

func (catCommand) Help() string {
	return `Compression is told by the first bytes: gzip with any number of members, zip, zstd, snappy as
snappy-java ("xerial"), Hadoop or the official framing writes it, else plain.
A prefix or a folder gives its objects in the order of their keys; one that does not end in a newline
gets one when another follows. It stops at the first error.

Examples:

    standpipe cat s3://my-lake/rawdata/2026/11/22/21/
    standpipe cat -n 2 s3://my-lake/rawdata/2026/11/22/21/class-stream-1.gz
    standpipe cat ./lake/rawdata/ | jq -r .type | sort | uniq -c`
}

func (c *catCommand) Run(ctx context.Context, g *globals, out *console) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if c.Limit < -1 {
		return usagef("--limit %d: a number of lines is not negative", c.Limit)
	}
	reader := &cat.Reader{
		Own:   c.Own,
		Stdin: interruptible(ctx, out.stdin),
		S3: func(ctx context.Context) (*s3.Client, error) {
			cfg, err := awsclient.Load(ctx, g.Region)
			if err != nil {
				return nil, usage(err)
			}
			return awsclient.S3(cfg), nil
		},
	}
	w := bufio.NewWriterSize(out.stdout, 64<<10)
	err := c.copyAll(ctx, reader, w)
	if ferr := w.Flush(); err == nil && ferr != nil {
		err = fmt.Errorf("write the output: %w", ferr)
	}
	return err
}

func (c *catCommand) copyAll(ctx context.Context, reader *cat.Reader, w *bufio.Writer) error {
	left, lines := c.Limit, &cat.Lines{W: w}
	for _, place := range c.Places {
		for object, err := range reader.Objects(ctx, place) {
			if err != nil {
				return err
			}
			n, err := lines.Copy(ctx, object, left)
			if err != nil {
				return err
			}
			if left >= 0 {
				left -= n
			}
			if left == 0 {
				return nil
			}
		}
	}
	return nil
}
