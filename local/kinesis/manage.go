package kinesis

//lint:file-ignore ST1003 members bear the API's names, which are their JSON

import (
	"fmt"
	"slices"
	"time"
)

func (s *Server) increaseRetention(c *call) (any, error) {
	return s.setRetention(c, func(name string, hours, old int) error {
		if hours < old {
			return invalidArgument("Requested retention period (%d hours) for stream %s can not be shorter than existing retention period (%d hours). Use DecreaseRetentionPeriod API.", hours, name, old)
		}
		return nil
	})
}

func (s *Server) decreaseRetention(c *call) (any, error) {
	return s.setRetention(c, func(name string, hours, old int) error {
		if hours > old {
			return invalidArgument("Requested retention period (%d hours) for stream %s can not be longer than existing retention period (%d hours). Use IncreaseRetentionPeriod API.", hours, name, old)
		}
		return nil
	})
}

func (s *Server) setRetention(c *call, allowed func(name string, hours, old int) error) (any, error) {
	var in struct {
		streamRef
		RetentionPeriodHours *int64
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.number(in.RetentionPeriodHours, "retentionPeriodHours", true, 1, retentionMax)
	if err := v.err(); err != nil {
		return nil, err
	}
	hours := int(*in.RetentionPeriodHours)
	if hours < retentionMin {
		return nil, invalidArgument("Minimum allowed retention period is 24 hours. Requested retention period (%d hours) is too short.", hours)
	}
	return nil, s.change(in.streamRef, c.now, func(st *stream, set *settings) error {
		if err := allowed(st.name, hours, set.Retention); err != nil {
			return err
		}
		// What is past the old retention is gone, even if it was not swept yet.
		for _, sh := range st.shards {
			sh.log.expire(st.horizon(c.now.UnixMilli()))
		}
		set.Retention = hours
		return nil
	})
}

func (s *Server) updateMaxRecordSize(c *call) (any, error) {
	var in struct {
		streamRef
		MaxRecordSizeInKiB *int64
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.number(in.MaxRecordSizeInKiB, "maxRecordSizeInKiB", true, recordKiB, recordKiBMax)
	if err := v.err(); err != nil {
		return nil, err
	}
	return nil, s.change(in.streamRef, c.now, func(st *stream, set *settings) error {
		set.RecordKiB = int(*in.MaxRecordSizeInKiB)
		return nil
	})
}

func (s *Server) updateStreamMode(c *call) (any, error) {
	var in struct {
		streamRef
		StreamModeDetails   *modeDetails
		WarmThroughputMiBps *int64
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.checkARN(&v)
	in.StreamModeDetails.check(&v, true)
	v.number(in.WarmThroughputMiBps, "warmThroughputMiBps", false, 0, warmMax)
	if err := v.err(); err != nil {
		return nil, err
	}
	return nil, s.changeSlowly(in.streamRef, c.now, func(st *stream, set *settings) error {
		set.OnDemand = in.StreamModeDetails.onDemand()
		if !set.OnDemand {
			if in.WarmThroughputMiBps != nil {
				return notOnDemand(st.name, s.cfg.Account)
			}
			set.Auto, set.Warm = false, 0
		} else if in.WarmThroughputMiBps != nil {
			set.Warm = int(*in.WarmThroughputMiBps)
		}
		return nil
	})
}

func (s *Server) updateDistribution(c *call) (any, error) {
	var in struct {
		streamRef
		RecordDistributionStrategy *string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.checkARN(&v)
	v.enum(in.RecordDistributionStrategy, "recordDistributionStrategy", true, distributions...)
	if err := v.err(); err != nil {
		return nil, err
	}
	return nil, s.change(in.streamRef, c.now, func(st *stream, set *settings) error {
		if !set.OnDemand {
			return notOnDemand(st.name, s.cfg.Account)
		}
		set.Auto = *in.RecordDistributionStrategy == distributions[0]
		return nil
	})
}

func (s *Server) updateWarmThroughput(c *call) (any, error) {
	var in struct {
		streamRef
		WarmThroughputMiBps *int64
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.number(in.WarmThroughputMiBps, "warmThroughputMiBps", true, 0, warmMax)
	if err := v.err(); err != nil {
		return nil, err
	}
	var out struct {
		StreamName     string
		StreamARN      string
		WarmThroughput *warmThroughput
	}
	return &out, s.changeSlowly(in.streamRef, c.now, func(st *stream, set *settings) error {
		if !set.OnDemand {
			return notOnDemand(st.name, s.cfg.Account)
		}
		set.Warm = int(*in.WarmThroughputMiBps)
		out.StreamName, out.StreamARN, out.WarmThroughput = st.name, st.arn, set.warm()
		return nil
	})
}

func (s *Server) startEncryption(c *call) (any, error) {
	return s.encrypt(c, func(set *settings, key string) { set.KeyID = key })
}

func (s *Server) stopEncryption(c *call) (any, error) {
	return s.encrypt(c, func(set *settings, _ string) { set.KeyID = "" })
}

// encrypt changes what answers say about encryption; nothing is encrypted.
func (s *Server) encrypt(c *call, alter func(set *settings, key string)) (any, error) {
	var in struct {
		streamRef
		EncryptionType *string
		KeyId          *string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.enum(in.EncryptionType, "encryptionType", true, "NONE", "KMS")
	v.text(in.KeyId, "keyId", true, 1, 2048, "")
	if err := v.err(); err != nil {
		return nil, err
	}
	if *in.EncryptionType != "KMS" {
		return nil, invalidArgument("EncryptionType %s is not valid here; the only valid value is KMS.", *in.EncryptionType)
	}
	return nil, s.changeSlowly(in.streamRef, c.now, func(_ *stream, set *settings) error {
		alter(set, *in.KeyId)
		return nil
	})
}

func (s *Server) enableMonitoring(c *call) (any, error) {
	return s.monitor(c, func(old, named []string) []string {
		return slices.DeleteFunc(slices.Clone(shardMetrics), func(m string) bool {
			return !slices.Contains(old, m) && !slices.Contains(named, m)
		})
	})
}

func (s *Server) disableMonitoring(c *call) (any, error) {
	return s.monitor(c, func(old, named []string) []string {
		return slices.DeleteFunc(slices.Clone(old), func(m string) bool { return slices.Contains(named, m) })
	})
}

func (s *Server) monitor(c *call, alter func(old, named []string) []string) (any, error) {
	var in struct {
		streamRef
		ShardLevelMetrics []string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.length(len(in.ShardLevelMetrics), in.ShardLevelMetrics == nil, "shardLevelMetrics", 1, 7)
	named := in.ShardLevelMetrics
	for i, m := range named {
		v.enum(&m, fmt.Sprintf("shardLevelMetrics.%d.member", i+1), true, append(slices.Clone(shardMetrics), "ALL")...)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if slices.Contains(named, "ALL") {
		named = shardMetrics
	}
	var out struct {
		StreamName               string
		StreamARN                string
		CurrentShardLevelMetrics []string
		DesiredShardLevelMetrics []string
	}
	return &out, s.changeSlowly(in.streamRef, c.now, func(st *stream, set *settings) error {
		old := set.metrics()
		set.Metrics = alter(old, named)
		out.StreamName, out.StreamARN = st.name, st.arn
		out.CurrentShardLevelMetrics, out.DesiredShardLevelMetrics = old, set.metrics()
		return nil
	})
}

// change alters the settings of an ACTIVE stream: all of it or, when it can't
// be saved, nothing.
func (s *Server) change(ref streamRef, now time.Time, alter func(*stream, *settings) error) error {
	return s.alter(ref, now, now, alter)
}

// changeSlowly is change for what leaves the stream UPDATING for a while.
func (s *Server) changeSlowly(ref streamRef, now time.Time, alter func(*stream, *settings) error) error {
	return s.alter(ref, now, now.Add(s.cfg.CreateDelay), alter)
}

func (s *Server) alter(ref streamRef, now, ready time.Time, alter func(*stream, *settings) error) error {
	return s.whileActive(ref, now, func(st *stream) error {
		old, set := st.set, st.set.clone()
		if err := alter(st, &set); err != nil {
			return err
		}
		st.set = set
		err := st.saveUntil(ready)
		if err != nil {
			st.set = old
		}
		return err
	})
}

// whileActive changes an ACTIVE stream; nothing else does meanwhile.
func (s *Server) whileActive(ref streamRef, now time.Time, change func(*stream) error) error {
	st, err := s.find(ref, now)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if status := st.status(now.UnixMilli()); status != active {
		return notActive(st.name, s.cfg.Account, status)
	}
	return change(st)
}

// saveUntil saves a stream that is UPDATING until then; when it can't be saved it
// is not. The caller holds mu.
func (st *stream) saveUntil(ready time.Time) error {
	changing, until := st.changing, st.ready
	st.changing, st.ready = updating, ready.UnixMilli()
	err := st.save()
	if err != nil {
		st.changing, st.ready = changing, until
	}
	return err
}
