package kinesis

//lint:file-ignore ST1003 members bear the API's names, which are their JSON

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// The bounds of tags (API model, TagMap and TagKeyList; developer guide, "Tag
// restrictions").
const (
	tagsMax    = 50 // of one resource
	tagMapMax  = 200
	tagKeysMax = 50
)

type tag struct{ Key, Value string }

// tags checks the tags of a creation: absent or right.
func (v *violations) tags(tags map[string]string) {
	if tags != nil {
		v.tagMap(tags)
	}
}

// tagMap checks the member tags. The texts are kinesalite's, recorded on AWS.
func (v *violations) tagMap(tags map[string]string) {
	v.length(len(tags), tags == nil, "tags", 1, tagMapMax)
	shown := make([]string, 0, len(tags))
	badKey, badValue := false, false
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		shown = append(shown, k+"="+tags[k])
		badKey = badKey || utf16Len(k) < 1 || utf16Len(k) > 128
		badValue = badValue || utf16Len(tags[k]) > 256
	}
	text := "{" + strings.Join(shown, ", ") + "}"
	text = text[:min(len(text), shownMax)]
	if badKey {
		*v = append(*v, fmt.Sprintf("Value '%s' at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1]", text))
	}
	if badValue {
		*v = append(*v, fmt.Sprintf("Value '%s' at 'tags' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 256, Member must have length greater than or equal to 0]", text))
	}
}

// tagKeys checks the member tagKeys.
func (v *violations) tagKeys(keys []string) {
	v.length(len(keys), keys == nil, "tagKeys", 1, tagKeysMax)
	for i, k := range keys {
		v.text(&k, fmt.Sprintf("tagKeys.%d.member", i+1), true, 1, 128, "")
	}
}

// legalTags refuses characters no tag may have.
func legalTags(texts ...string) error {
	for _, text := range texts {
		for _, r := range text {
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsSpace(r) && !strings.ContainsRune("_./=+-%@:", r) {
				return invalidArgument("Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - %% @.")
			}
		}
	}
	return nil
}

// addTags returns the tags with others added, unless they are too many; of
// says whose they are.
func addTags(old, more map[string]string, of string) (map[string]string, error) {
	for k, value := range more {
		if err := legalTags(k, value); err != nil {
			return nil, err
		}
	}
	all := maps.Clone(old)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, more)
	if len(all) > tagsMax {
		return nil, invalidArgument("Failed to add tags to %s because a given stream cannot have more than %d tags associated with it.", of, tagsMax)
	}
	return all, nil
}

func removeTags(old map[string]string, keys []string) map[string]string {
	left := maps.Clone(old)
	for _, k := range keys {
		delete(left, k)
	}
	return left
}

// tagList is in the order of the keys.
func tagList(tags map[string]string) []tag {
	list := make([]tag, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, tag{k, tags[k]})
	}
	return list
}

func (s *Server) addTagsToStream(c *call) (any, error) {
	var in struct {
		streamRef
		Tags map[string]string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.tagMap(in.Tags)
	if err := v.err(); err != nil {
		return nil, err
	}
	return nil, s.change(in.streamRef, c.now, func(st *stream, set *settings) (err error) {
		set.Tags, err = addTags(set.Tags, in.Tags, fmt.Sprintf("stream %s under account %s", st.name, s.cfg.Account))
		return err
	})
}

func (s *Server) removeTagsFromStream(c *call) (any, error) {
	var in struct {
		streamRef
		TagKeys []string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.tagKeys(in.TagKeys)
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := legalTags(in.TagKeys...); err != nil {
		return nil, err
	}
	return nil, s.change(in.streamRef, c.now, func(_ *stream, set *settings) error {
		set.Tags = removeTags(set.Tags, in.TagKeys)
		return nil
	})
}

func (s *Server) listTagsForStream(c *call) (any, error) {
	var in struct {
		streamRef
		ExclusiveStartTagKey *string
		Limit                *int64
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.text(in.ExclusiveStartTagKey, "exclusiveStartTagKey", false, 1, 128, "")
	v.number(in.Limit, "limit", false, 1, tagKeysMax)
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.find(in.streamRef, c.now)
	if err != nil {
		return nil, err
	}
	st.mu.RLock()
	list := tagList(st.set.Tags)
	st.mu.RUnlock()
	list = slices.DeleteFunc(list, func(t tag) bool { return t.Key <= text(in.ExclusiveStartTagKey) })
	limit := tagKeysMax
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	return struct {
		Tags        []tag
		HasMoreTags bool
	}{list[:min(len(list), limit)], len(list) > limit}, nil
}
