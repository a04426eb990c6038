package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
)

// An audit is the record of a person's change to checkpoints. It lies beside
// the manifests, because it explains why a chain ends and another begins.
type audit struct {
	Version int       `json:"v"`
	Time    time.Time `json:"time"`
	Command string    `json:"command"`
	Reason  string    `json:"reason,omitempty"`
	User    string    `json:"user"`
	Host    string    `json:"host"`
	Moves   []audited `json:"moves"`
}

type audited struct {
	Shard       standpipe.ShardID  `json:"shard"`
	Before      standpipe.Position `json:"before"`
	After       standpipe.Position `json:"after"`
	StartTime   time.Time          `json:"startTime,omitzero"`
	Chain       string             `json:"chain"` // that ends
	NewChain    string             `json:"newChain"`
	LastCommits int64              `json:"lastManifest"`
}

const auditPrefix = manifest.StatePrefix + "audit/"

// restart moves checkpoints and begins new chains. The record is written first:
// no change is without one, and a record without its change does no harm. It
// returns where the record is.
func restart(ctx context.Context, store checkpoint.Store, target sink.Sink, moved []move, a audit) (string, error) {
	a.Version, a.User, a.Host = 1, "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		a.User = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		a.Host = host
	}
	for _, m := range moved {
		a.Moves = append(a.Moves, audited{
			Shard: m.before.Shard, Before: m.before.Checkpoint, After: m.to, StartTime: m.time,
			Chain: m.before.Incarnation, NewChain: newChain(), LastCommits: m.before.Commits,
		})
	}
	b, err := json.MarshalIndent(a, "", " ")
	if err != nil {
		return "", err
	}
	key := fmt.Sprintf("%s%s-%s.json", auditPrefix, a.Time.Format("20060102T150405Z"), strings.ToLower(rand.Text()[:8]))
	if err := target.WriteOnce(ctx, key, append(b, '\n')); err != nil {
		return "", fmt.Errorf("record the change, which was not made: %w", err)
	}
	for n, m := range moved {
		if _, err := store.Update(ctx, checkpoint.Restart(m.before, m.to, m.time, a.Moves[n].NewChain)); err != nil {
			return key, fmt.Errorf("move the checkpoint of %s, number %d of %d: %w", m.before.Shard, n+1, len(moved), err)
		}
	}
	return key, nil
}

// newChain names a chain of manifests, as delivery does.
func newChain() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
