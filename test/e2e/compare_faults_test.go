package e2e

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/need"
)

// A shelf serves the folders below dir as buckets, as far as a reader asks: list
// and get. Before each get it calls before.
type shelf struct {
	dir    string
	before func(r *http.Request)
	gets   atomic.Int64
}

type shelfListing struct {
	XMLName     xml.Name `xml:"ListBucketResult"`
	Name        string
	IsTruncated bool
	Contents    []shelfObject
}

type shelfObject struct {
	Key          string
	Size         int64
	ETag         string
	LastModified time.Time
}

func shelfTag(info fs.FileInfo) string {
	return fmt.Sprintf(`"%x-%x"`, info.Size(), info.ModTime().UnixNano())
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if key == "" {
		s.list(w, filepath.Join(s.dir, bucket), r.URL.Query().Get("prefix"))
		return
	}
	s.gets.Add(1)
	if s.before != nil {
		s.before(r)
	}
	f, err := os.Open(filepath.Join(s.dir, bucket, filepath.FromSlash(key)))
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>`)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("ETag", shelfTag(info))
	http.ServeContent(w, r, "", info.ModTime(), f)
}

func (s *shelf) list(w http.ResponseWriter, root, prefix string) {
	listing := shelfListing{Name: filepath.Base(root)}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		key := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		if strings.HasPrefix(key, prefix) {
			listing.Contents = append(listing.Contents, shelfObject{key, info.Size(), shelfTag(info), info.ModTime().UTC()})
		}
		return nil
	})
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(listing) // a client that is gone asks no more
}

// shelved are two archives of 24 objects a side that differ in a few lines,
// behind S3's interface.
func shelved(t *testing.T) (*shelf, []string) {
	t.Helper()
	s := &shelf{dir: t.TempDir()}
	for _, side := range []string{"a", "b"} {
		for i := range 24 {
			var body bytes.Buffer
			for n := range 200 {
				if side == "a" || i*200+n != 777 {
					fmt.Fprintf(&body, "line %d\n", i*200+n)
				}
			}
			packed, err := gzipMembers(body.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(s.dir, side, objectKey(side, i)), packed)
		}
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, []string{
		"AWS_ENDPOINT_URL_S3=" + server.URL, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b",
		"AWS_EC2_METADATA_DISABLED=true", "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"),
	}
}

func put(t *testing.T, path string, body []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
}

var shelvedArgs = []string{"compare", "--json", "--quiet", "--settle=0s", "--records=lines", "--slice=1h", "--workers=1", "s3://a/", "s3://b/"}

// measured is what a run says of itself.
var measured = regexp.MustCompile(`"(started|durationNanoseconds)": [^,\n]+`)

// Aim: a comparison that is stopped at any moment, asked or killed, goes on with
// --resume to the report of an undisturbed one, and reads no slice again that
// was done. Method: a server that holds one object back until the signal is sent.
func TestACompareThatIsInterruptedGoesOnWithResume(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		for _, held := range []int64{1, 21, 61} { // in the first slice, amid the first pass, amid the second
			t.Run(fmt.Sprintf("%v at object %d", signal, held), func(t *testing.T) {
				t.Parallel() // what was killed has to stand still for a while
				s, env := shelved(t)
				jobs := t.TempDir()
				undisturbed := runShelved(t, env, 1, "--jobs", t.TempDir())
				reached := make(chan struct{})
				s.gets.Store(0)
				s.before = func(r *http.Request) {
					if s.gets.Load() == held {
						close(reached)
						<-r.Context().Done()
					}
				}
				cmd := exec.CommandContext(limited(t, testLimit), program, append(shelvedArgs, "--jobs", jobs)...)
				cmd.Env = env
				var notes bytes.Buffer
				cmd.Stderr = &notes
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				<-reached
				if err := cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait() // the exit code says it
				if code := cmd.ProcessState.ExitCode(); signal != syscall.SIGKILL && (code != 130 || !strings.Contains(notes.String(), "--resume")) {
					t.Errorf("exit code %d, %s", code, notes.String())
				}
				s.before = nil
				s.gets.Store(0)
				if got := runShelved(t, env, 1, "--jobs", jobs, "--resume"); got != undisturbed {
					t.Errorf("%s\nwant\n%s", got, undisturbed)
				}
				// Two passes of 48 objects, two in a slice; the one held was not done.
				if got, want := s.gets.Load(), 96-(held-1)/2*2; got != want {
					t.Errorf("%d objects were read afterwards, want %d", got, want)
				}
			})
		}
	}
}

// runShelved compares to the end and returns the report but for its times.
func runShelved(t *testing.T, env []string, exit int, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(limited(t, testLimit), program, append(shelvedArgs, args...)...)
	cmd.Env = env
	var out, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &notes
	_ = cmd.Run() // the exit code says it
	if code := cmd.ProcessState.ExitCode(); code != exit {
		t.Fatalf("exit code %d, want %d\n%s%s", code, exit, notes.String(), out.String())
	}
	return measured.ReplaceAllString(out.String(), "$1")
}

// An object that is replaced, or removed, while the comparison runs is named and
// no pass; and a comparison that was interrupted before refuses to go on.
func TestACompareNamesWhatChangesMeanwhile(t *testing.T) {
	s, env := shelved(t)
	replaced, removed := objectKey("b", 5), objectKey("a", 9)
	s.before = func(*http.Request) {
		if s.gets.Load() == 1 {
			put(t, filepath.Join(s.dir, "b", replaced), []byte("another line\n"))
			if err := os.Remove(filepath.Join(s.dir, "a", removed)); err != nil {
				t.Error(err)
			}
		}
	}
	jobs := t.TempDir()
	out := runShelved(t, env, 3, "--jobs", jobs)
	for _, want := range []string{`"verdict": "incomplete"`, `"kind": "changed"`, replaced, removed, "2 objects changed during the run"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
	cmd := exec.CommandContext(limited(t, testLimit), program, append(shelvedArgs, "--jobs", jobs, "--resume")...)
	cmd.Env = env
	notes, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 3 || !strings.Contains(string(notes), "since the comparison began: start again without --resume") {
		t.Errorf("%v: %s", err, notes)
	}
}

// Aim: a full disk while differences are counted is named and no pass, and with
// room the same command gives the exact number. Method: a real file system of
// 1 MiB, in a mount namespace of its own.
func TestACompareOnAFullDiskIsIncompleteAndCanBeRepeated(t *testing.T) {
	unshare := need.Program(t, "unshare")
	a, b := t.TempDir(), t.TempDir()
	const lines = 60_000
	var bodies [2]bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&bodies[0], "line %d of a\n", i)
		fmt.Fprintf(&bodies[1], "line %d of b\n", i)
	}
	put(t, filepath.Join(a, objectKey("a", 1)), bodies[0].Bytes())
	put(t, filepath.Join(b, objectKey("b", 1)), bodies[1].Bytes())
	disk := t.TempDir()
	args := []string{"compare", "--json", "--quiet", "--settle=0s", "--capacity=100", "--jobs", t.TempDir(), a, b}
	small := []string{"-m", "sh", "-c", `mount -t tmpfs -o size=1m none "$0" && exec "$@"`, disk, program}
	if os.Getuid() != 0 {
		small = append([]string{"-r"}, small...)
	}
	if out, err := exec.CommandContext(t.Context(), unshare, append(small, "version")...).CombinedOutput(); err != nil {
		need.Absent(t, fmt.Sprintf("no file system may be mounted: %v: %s", err, out))
	}
	cmd := exec.CommandContext(limited(t, testLimit), unshare, append(append(small, args...), "--spill-dir", disk)...)
	out, err := cmd.Output()
	if cmd.ProcessState.ExitCode() != 3 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{`"verdict": "incomplete"`, `"kind": "uncounted"`, "no space left on device", "--spill-dir"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s is not in %.3000s", want, out)
		}
	}
	if left, err := os.ReadDir(disk); err != nil || len(left) > 0 {
		t.Errorf("left on the disk: %v, %v", left, err)
	}
	cmd = exec.CommandContext(limited(t, testLimit), program, append(args, "--resume")...)
	out, err = cmd.Output()
	if want := fmt.Sprintf(`"missingInA": %d,`, lines); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), want) {
		t.Errorf("%v: %s is not in %.3000s", err, want, out)
	}
}
