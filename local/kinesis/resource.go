package kinesis

import (
	"encoding/json"
	"maps"

	"go.uber.org/zap"
)

// A resource is what an ARN names: a stream, or a consumer of it. Its fields
// point into the stream, whose lock the holder has.
type resource struct {
	stream *stream
	tags   *map[string]string
	policy *string
	what   string // for messages
}

// onResource runs do on what the ARN names and saves the stream when do says so.
func (s *Server) onResource(arn string, c *call, do func(r resource) (save bool, err error)) error {
	now := c.now.UnixMilli()
	name, consumerOf := splitConsumerARN(arn)
	st, err := s.find(streamRef{StreamARN: &name}, c.now)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	set := st.set.clone()
	r := resource{st, &set.Tags, &set.Policy, "stream " + st.name + " under account " + s.cfg.Account}
	var who *consumer
	if consumerOf != "" {
		if who = st.consumerByARN(arn, now); who == nil {
			return consumerNotFound(arn, s.cfg.Account)
		}
		r.tags, r.policy, r.what = &who.tags, &who.policy, "consumer "+who.name+" under account "+s.cfg.Account
	}
	var tags map[string]string
	var policy string
	if who != nil {
		tags, policy = maps.Clone(who.tags), who.policy
	}
	old := st.set
	save, err := do(r)
	if err != nil || !save {
		return err
	}
	st.set = set
	if err := st.save(); err != nil {
		if st.set = old; who != nil {
			who.tags, who.policy = tags, policy
		}
		s.log.Error("resource not saved", zap.String("resource", arn), zap.Error(err))
		return internalFailure()
	}
	return nil
}

func (s *Server) tagResource(c *call) (any, error) {
	var in struct {
		ResourceARN *string
		Tags        map[string]string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	v.text(in.ResourceARN, "resourceARN", true, 1, 2048, resourceRule)
	v.tagMap(in.Tags)
	if err := v.err(); err != nil {
		return nil, err
	}
	return nil, s.onResource(*in.ResourceARN, c, func(r resource) (bool, error) {
		all, err := addTags(*r.tags, in.Tags, r.what)
		if err != nil {
			return false, err
		}
		*r.tags = all
		return true, nil
	})
}

func (s *Server) untagResource(c *call) (any, error) {
	var in struct {
		ResourceARN *string
		TagKeys     []string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	v.text(in.ResourceARN, "resourceARN", true, 1, 2048, resourceRule)
	v.tagKeys(in.TagKeys)
	if err := v.err(); err != nil {
		return nil, err
	}
	return nil, s.onResource(*in.ResourceARN, c, func(r resource) (bool, error) {
		*r.tags = removeTags(*r.tags, in.TagKeys)
		return true, nil
	})
}

// resourceARN reads a request that has nothing but its resource.
func (c *call) resourceARN() (string, error) {
	var in struct{ ResourceARN *string }
	if err := c.decode(&in); err != nil {
		return "", err
	}
	var v violations
	v.text(in.ResourceARN, "resourceARN", true, 1, 2048, resourceRule)
	return text(in.ResourceARN), v.err()
}

func (s *Server) listTagsForResource(c *call) (any, error) {
	arn, err := c.resourceARN()
	if err != nil {
		return nil, err
	}
	var out struct{ Tags []tag }
	return &out, s.onResource(arn, c, func(r resource) (bool, error) {
		out.Tags = tagList(*r.tags)
		return false, nil
	})
}

// Policies are stored and told; nobody is refused by one.

func (s *Server) putResourcePolicy(c *call) (any, error) {
	var in struct{ ResourceARN, Policy *string }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	v.text(in.ResourceARN, "resourceARN", true, 1, 2048, resourceRule)
	v.text(in.Policy, "policy", true, 0, 20<<10, "")
	if err := v.err(); err != nil {
		return nil, err
	}
	if !json.Valid([]byte(*in.Policy)) {
		return nil, invalidArgument("This policy contains invalid Json")
	}
	return nil, s.onResource(*in.ResourceARN, c, func(r resource) (bool, error) {
		*r.policy = *in.Policy
		return true, nil
	})
}

func (s *Server) getResourcePolicy(c *call) (any, error) {
	arn, err := c.resourceARN()
	if err != nil {
		return nil, err
	}
	var out struct{ Policy string }
	return &out, s.onResource(arn, c, func(r resource) (bool, error) {
		if out.Policy = *r.policy; out.Policy == "" {
			out.Policy = "{}"
		}
		return false, nil
	})
}

func (s *Server) deleteResourcePolicy(c *call) (any, error) {
	arn, err := c.resourceARN()
	if err != nil {
		return nil, err
	}
	return nil, s.onResource(arn, c, func(r resource) (bool, error) {
		if *r.policy == "" {
			return false, notFound("No resource policy found for resource ARN %s", arn)
		}
		*r.policy = ""
		return true, nil
	})
}
