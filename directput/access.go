package directput

import (
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// result sums a call up in one word of the metrics.
func (c *call) result() string {
	switch {
	case c.status == http.StatusOK && c.failed() > 0:
		return resultPartial
	case c.status == http.StatusOK:
		return resultOK
	case c.status < http.StatusInternalServerError:
		return resultInvalid
	case *c.err == *slowDown():
		return resultThrottled
	}
	return resultFailed
}

// failed is how many records are not known to be stored.
func (c *call) failed() (n int) {
	if c.batch != nil {
		for _, o := range c.batch.outcomes {
			if o.fate != stored {
				n++
			}
		}
	}
	return n
}

// access writes the line of the access log: info when all went well, a warning
// with the cause when it did not. Never a payload.
func (s *Server) access(c *call, took time.Duration) {
	level := zapcore.InfoLevel
	if r := c.result(); r != resultOK {
		level = zapcore.WarnLevel
	}
	entry := s.log.Check(level, "request")
	if entry == nil {
		return
	}
	fields := []zap.Field{
		zap.String("operation", c.op), zap.Int("status", c.status), zap.Duration("took", took),
		zap.String("request", c.id), zap.String("remote", c.remote),
	}
	if c.deliveryStream != "" {
		fields = append(fields, zap.String("delivery", c.deliveryStream))
	}
	if b := c.batch; b != nil {
		size := 0
		for _, e := range b.entries {
			size += len(e.Data)
		}
		fields = append(fields, zap.Int("records", len(b.entries)), zap.Int("bytes", size), zap.Int("failed", c.failed()))
		if b.repeated > 0 {
			fields = append(fields, zap.Int("repeated", b.repeated))
		}
		if b.cause != nil && c.failed() > 0 {
			fields = append(fields, zap.NamedError("cause", b.cause))
		}
	}
	if c.err != nil {
		fields = append(fields, zap.String("error", c.err.Error()))
	}
	entry.Write(fields...)
}
