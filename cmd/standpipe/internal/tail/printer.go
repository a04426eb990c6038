package tail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
)

// An Object is one record in Form JSON. Data that is not UTF-8 stands in
// dataBase64 instead of data.
type Object struct {
	Shard    standpipe.ShardID `json:"shard"`
	Sequence string            `json:"sequence"`
	// Sub counts the user records of a KPL aggregate from 0.
	Sub int64 `json:"sub"`
	// Arrival is Kinesis's approximate arrival time, in UTC.
	Arrival time.Time `json:"arrival"`
	// PartitionKey is null when the stream assigns shards by itself.
	PartitionKey *string `json:"partitionKey"`
	Data         *string `json:"data,omitempty"`
	DataBase64   []byte  `json:"dataBase64,omitempty"`
}

// A printer writes what matches, one page at a time. Safe for concurrent use.
type printer struct {
	cfg *Config

	mu      sync.Mutex
	buf     bytes.Buffer // what is not written yet
	printed int64
}

// flushAt bounds buf, in bytes.
const flushAt = 64 << 10

// page prints what matches of one page and returns the sequence number of the
// first damaged aggregate in it, if any, or errEnough.
func (p *printer) page(shard standpipe.Shard, page *consumer.Page) (corrupt string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cfg.Count > 0 && p.printed >= p.cfg.Count {
		return "", errEnough // another shard's page was the last
	}
	for _, rec := range page.Records {
		if !p.cfg.To.IsZero() && !rec.Arrival.Before(p.cfg.To) {
			continue
		}
		found := consumer.Unpack(rec, p.cfg.Deaggregation, consumer.WholeRange(), func(u consumer.UserRecord) bool {
			err = p.user(shard.ID, rec, u)
			return err == nil
		})
		if found.Corrupt && corrupt == "" {
			corrupt = string(rec.Sequence)
		}
		if err != nil {
			break
		}
	}
	if ferr := p.flush(); ferr != nil {
		err = ferr
	}
	return corrupt, err
}

// user prints one user record, or those of its lines that match.
func (p *printer) user(shard standpipe.ShardID, rec standpipe.Record, u consumer.UserRecord) error {
	if p.cfg.Form == Lines {
		for line := range consumer.Lines(u.Data) {
			if !p.matches(line) {
				continue
			}
			p.buf.Write(line)
			p.buf.WriteByte('\n')
			if err := p.count(); err != nil {
				return err
			}
		}
		return nil
	}
	if !p.matches(u.Data) {
		return nil
	}
	if p.cfg.Form == Raw {
		p.buf.Write(u.Data)
		return p.count()
	}
	encoder := json.NewEncoder(&p.buf) // ends each object in a newline
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(object(shard, rec, u)); err != nil {
		return fmt.Errorf("print record %s: %w", rec.Sequence, err)
	}
	return p.count()
}

func object(shard standpipe.ShardID, rec standpipe.Record, u consumer.UserRecord) Object {
	o := Object{Shard: shard, Sequence: string(rec.Sequence), Sub: u.Sub, Arrival: rec.Arrival.UTC()}
	if u.PartitionKey != nil {
		key := string(u.PartitionKey)
		o.PartitionKey = &key
	}
	if utf8.Valid(u.Data) {
		data := string(u.Data)
		o.Data = &data
	} else {
		o.DataBase64 = u.Data
	}
	return o
}

func (p *printer) matches(data []byte) bool { return p.cfg.Match == nil || p.cfg.Match.Match(data) }

// count counts what was just printed.
func (p *printer) count() error {
	p.printed++
	if p.printed == p.cfg.Count {
		return errEnough
	}
	if p.buf.Len() >= flushAt {
		return p.flush()
	}
	return nil
}

func (p *printer) flush() error {
	if p.buf.Len() == 0 {
		return nil
	}
	_, err := p.buf.WriteTo(p.cfg.Out)
	if err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}
