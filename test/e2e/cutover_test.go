package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/harness"
	"github.com/standpipe/standpipe/test/e2e/need"
)

// guideLimit is for the whole week. It takes half a minute.
const guideLimit = 4 * time.Minute

// A step is a block of commands of docs/cut-over.md and what they print.
type step struct {
	line     int // of the guide, where the block begins
	commands string
	prints   []string // in this order; … stands for anything
	exit     int      // of the last command; "(exit code N)" below says it
	produced int      // lines sent to the stream up to the end of the block
}

// guide reads the blocks that a laptop runs: ```sh is a step, ```text what it
// prints, ```yaml a file that its first line names. Other blocks are AWS's.
func guide(t *testing.T, name string) (steps []step, files map[string]string) {
	t.Helper()
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	kind, begin, body, produced := "", 0, "", 0
	for n, line := range strings.Split(string(page), "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && begin == 0:
			kind, begin, body = info, n+1, ""
		case fence:
			switch kind {
			case "sh":
				produced += sent(t, body)
				steps = append(steps, step{line: begin, commands: body, produced: produced})
			case "text":
				steps[len(steps)-1].expect(body)
			case "yaml":
				first, _, _ := strings.Cut(body, "\n")
				files[strings.TrimPrefix(first, "# ")] = body
			}
			begin = 0
		default:
			body += line + "\n"
		}
	}
	return steps, files
}

var (
	countFlag = regexp.MustCompile(`standpipe produce .*--count (\d+)`)
	exitNote  = regexp.MustCompile(`^\(exit code (\d+)\)$`)
)

func sent(t *testing.T, commands string) (lines int) {
	t.Helper()
	for _, m := range countFlag.FindAllStringSubmatch(commands, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		lines += n
	}
	return lines
}

// expect reads what stands below a step.
func (s *step) expect(text string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		if m := exitNote.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			s.exit, _ = strconv.Atoi(m[1]) // the pattern takes digits only
			continue
		}
		s.prints = append(s.prints, line)
	}
}

// settled takes the place of sleep: the guide waits ten seconds, the test until
// every archive that somebody delivers has what was sent, and proves it.
const settled = `
stopped() { ! jobs -r | grep -q "run -c $1"; }
holds() { [ "$(standpipe cat "s3://standpipe/$1/" 2> /dev/null | wc -l)" -ge "$produced" ]; }
proved() { standpipe status | grep -q "nothing waits"; }
sleep() {
  until { stopped standpipe.yaml || { holds rawdata && proved; }; } && { stopped firehose.yaml || holds firehose; }; do
    command sleep 0.2
  done
}
`

// script is the guide as a person would type it into one shell; each step's
// output and exit code go to files of their own.
func script(steps []step) string {
	var b strings.Builder
	b.WriteString(settled)
	for n, s := range steps {
		fmt.Fprintf(&b, "produced=%d\n{\n%s} > step%d.out 2>&1\necho $? > step%d.exit\n", s.produced, s.commands, n, n)
	}
	return b.String()
}

// docs/cut-over.md, followed by someone who pastes it into a terminal: every
// command of the laptop's week ends and answers as the page says.
func TestTheGuideFromFirehoseToStandpipeIsTrue(t *testing.T) {
	bash := need.Program(t, "bash")
	steps, files := guide(t, filepath.Join("..", "..", "docs", "cut-over.md"))
	if len(steps) < 15 || len(files) != 2 {
		t.Fatalf("%d steps and %d files in the guide: were its blocks renamed?", len(steps), len(files))
	}
	const first = "standpipe local --no-delivery\n"
	if steps[0].commands != first {
		t.Fatalf("the guide begins with %q, want %q: the test starts that by itself", steps[0].commands, first)
	}
	steps = steps[1:]

	dir, page := t.TempDir(), fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t))
	_, e := harness.StartLocal(t, program, filepath.Join(dir, ".standpipe"), "--no-delivery")
	// Another port, for whoever has a standpipe running; and no need to wait.
	changed := strings.NewReplacer("127.0.0.1:9410", page, "IntervalInSeconds: 5", "IntervalInSeconds: 1")
	for name, text := range files {
		text = changed.Replace(text)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin := t.TempDir()
	absolute, err := filepath.Abs(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(absolute, filepath.Join(bin, "standpipe")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bash, "--noprofile", "--norc", "-c", script(steps))
	cmd.Dir = dir
	cmd.Env = append(
		e.Environment(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"STANDPIPE_STATUS_ADDRESS="+page, "XDG_CACHE_HOME="+t.TempDir(), "HOME="+dir,
	)
	week := harness.Start(t, "docs/cut-over.md", cmd)
	_, err = week.Wait(guideLimit)
	for n, s := range steps {
		if !s.followed(t, dir, n) {
			for _, log := range []string{"standpipe.log", "firehose.log"} {
				text, _ := os.ReadFile(filepath.Join(dir, log)) // there may be none yet
				t.Logf("%s:\n%s", log, text)
			}
			return
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// followed checks what one step printed and how it ended.
func (s step) followed(t *testing.T, dir string, n int) bool {
	t.Helper()
	where := fmt.Sprintf("docs/cut-over.md, line %d", s.line)
	printed, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("step%d.out", n))) // none: not reached
	code, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("step%d.exit", n)))
	if err != nil {
		t.Errorf("%s did not end:\n%s%s", where, s.commands, printed)
		return false
	}
	if got := strings.TrimSpace(string(code)); got != strconv.Itoa(s.exit) {
		t.Errorf("%s: exit code %s, want %d:\n%s%s", where, got, s.exit, s.commands, printed)
		return false
	}
	rest := string(printed)
	for _, line := range s.prints {
		at := pattern(line).FindStringIndex(rest)
		if at == nil {
			t.Errorf("%s: the guide shows\n%s\nwhich is not printed, or not in this order:\n%s", where, line, printed)
			return false
		}
		rest = rest[at[1]:]
	}
	return true
}

// pattern matches whole lines that read as the guide's does.
func pattern(line string) *regexp.Regexp {
	p := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(line)), "…", ".*")
	return regexp.MustCompile(`(?m)^\s*` + p + `\s*$`)
}
