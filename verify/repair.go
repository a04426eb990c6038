package verify

import (
	"fmt"
	"strings"

	"github.com/standpipe/standpipe"
)

// Commands names the commands that mend what was found.
type Commands struct {
	// Config is the path of the configuration for replay; empty when there is none
	// that delivers here: a replay mends its own archive only.
	Config string
	// Archive is the root's location, "s3://bucket/" or a folder.
	Archive string
}

// Repair is the command that mends f, empty where none can.
func (c Commands) Repair(f Finding) string {
	replay := "standpipe replay -c " + quote(c.Config)
	if c.Config == "" && (f.Kind.Repairable() || f.Kind == Gap) {
		return ""
	}
	switch f.Kind {
	case Missing:
		return replay + " --manifest " + quote(f.Manifest)
	case Altered, Lines, Unreadable:
		if f.Key == "" {
			return "" // a manifest: only a copy of it helps
		}
		return replay + " --manifest " + quote(f.Manifest) + " --replace"
	case Gap:
		from := standpipe.TrimHorizon
		if f.After != nil && !f.After.AtStart() {
			from = "after:" + f.After.Sequence
		}
		to := ""
		if f.Last != nil && !f.Last.AtStart() && !f.Last.AtEnd() {
			to = " --to " + f.Last.Sequence
		}
		return fmt.Sprintf("%s --shard %s --from %s%s --to-prefix recovered/%s/", replay, f.Shard, from, to, f.Shard)
	case Doubled:
		return c.remove(f.Key)
	case Foreign:
		if f.As != "" { // the only good copy: where it belongs
			return c.move(f.Key, f.As)
		}
		return c.move(f.Key, "quarantine/"+f.Key)
	}
	return ""
}

func (c Commands) remove(key string) string {
	if strings.HasPrefix(c.Archive, "s3://") {
		return "aws s3 rm " + quote(c.at(key))
	}
	return "rm " + quote(c.at(key))
}

// move never removes: whose a foreign object is, and whether it is of use, is
// not for us to say.
func (c Commands) move(key, target string) string {
	to := c.at(target)
	if strings.HasPrefix(c.Archive, "s3://") {
		return fmt.Sprintf("aws s3 mv %s %s", quote(c.at(key)), quote(to))
	}
	folder := to[:strings.LastIndexByte(to, '/')+1]
	return fmt.Sprintf("mkdir -p %s && mv %s %s", quote(folder), quote(c.at(key)), quote(to))
}

func (c Commands) at(key string) string { return strings.TrimSuffix(c.Archive, "/") + "/" + key }

// quote makes s one word of a shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
