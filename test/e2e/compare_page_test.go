package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/standpipe/standpipe/test/e2e/need"
)

// browser is the path of a Chromium, under whichever name.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return need.Program(t, "chromium")
}

// reports writes the HTML of a comparison that differs and of one that could
// not be finished, with text in them that would do harm if it were markup.
func reports(t *testing.T) map[string]string {
	t.Helper()
	dir, a, b, cut := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	var lines, fewer []string
	for i := range 4000 {
		l := fmt.Sprintf(`{"n":%d,"text":"<script>document.title='no'</script> 한국어 — \u2028 %s"}`, i, strings.Repeat("long", i%60))
		lines = append(lines, l)
		if i%400 != 7 {
			fewer = append(fewer, l)
		}
	}
	for side, all := range map[string][]string{a: lines, b: fewer, cut: lines} {
		for hour := range 24 {
			part := strings.Join(all[hour*len(all)/24:(hour+1)*len(all)/24], "\n")
			body, err := gzipMembers([]byte(part))
			if err != nil {
				t.Fatal(err)
			}
			if side == cut && hour == 7 {
				body = body[:len(body)/2]
			}
			path := filepath.Join(side, objectKey("x", hour))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, body, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files := map[string]string{"different": filepath.Join(dir, "different.html"), "incomplete": filepath.Join(dir, "incomplete.html"), "equal": filepath.Join(dir, "equal.html")}
	compareArchives(t, os.Environ(), 1, "--html", files["different"], a, b)
	compareArchives(t, os.Environ(), 3, "--html", files["incomplete"], a, cut)
	same := filepath.Join(dir, "same")
	if err := os.CopyFS(same, os.DirFS(a)); err != nil {
		t.Fatal(err)
	}
	compareArchives(t, os.Environ(), 0, "--html", files["equal"], "--from", "2026-11-21T06:00:00Z", "--to", "2026-11-21T08:00:00Z", a, same)
	return files
}

// Aim: the report reads in a real browser, on a phone and on a desk: nothing is
// wider than the screen, no script runs, nothing is asked of any host and
// nothing is refused by the page's own policy. STANDPIPE_SCREENSHOTS names a
// folder that keeps the pictures, for people to look at.
func TestTheHTMLReportInARealBrowser(t *testing.T) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser(t)), chromedp.NoSandbox,
		chromedp.WSURLReadTimeout(2*time.Minute)) // it has 20 s, and a busy machine may need them
	allocator, cancel := chromedp.NewExecAllocator(limited(t, testLimit), options...)
	defer cancel()
	for name, file := range reports(t) {
		for _, width := range []int64{390, 1280} {
			t.Run(fmt.Sprint(name, width), func(t *testing.T) { look(t, allocator, name, file, width) })
		}
	}
}

// A browsed is what a page turned out to be, by measure.
type browsed struct {
	Scroll   int     `json:"scroll"`
	Client   int     `json:"client"`
	Rects    int     `json:"rects"`
	Headings int     `json:"headings"`
	Smallest float64 `json:"smallest"`
	Title    string  `json:"title"`
	Colour   string  `json:"colour"`
}

const measure = `({
	scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth,
	rects: document.querySelectorAll('svg.bars rect.a').length,
	headings: document.querySelectorAll('h2').length, title: document.title,
	smallest: Math.min(...[...document.querySelectorAll('p,li,td,dd,summary,pre')].map(e => parseFloat(getComputedStyle(e).fontSize))),
	colour: getComputedStyle(document.querySelector('.verdict')).color,
})`

func look(t *testing.T, allocator context.Context, name, file string, width int64) {
	ctx, cancel := chromedp.NewContext(allocator)
	defer cancel()
	var (
		mu       sync.Mutex
		requests []string
		troubles []string
	)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 844)); err != nil {
		t.Fatal(err)
	}
	err := chromedp.Listen(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			requests = append(requests, e.Request.URL)
		case *log.EventEntryAdded:
			troubles = append(troubles, e.Entry.Text)
		case *runtime.EventExceptionThrown:
			troubles = append(troubles, e.ExceptionDetails.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	_, nerr := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	_, lerr := chromedp.Call(ctx, log.Enable, cdp.Empty{})
	if err := errors.Join(nerr, lerr, chromedp.Do(ctx, chromedp.Navigate("file://"+file))); err != nil {
		t.Fatal(err)
	}
	page, perr := chromedp.Run(ctx, chromedp.Evaluate[browsed](measure))
	picture, serr := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err := errors.Join(perr, serr); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if page.Scroll > page.Client || page.Client != int(width) {
		t.Errorf("the page is %d wide on a screen of %d (%d)", page.Scroll, width, page.Client)
	}
	if page.Rects == 0 || page.Headings < 4 || page.Smallest < 12 || page.Title != name+": standpipe compare" || page.Colour == "rgb(0, 0, 0)" {
		t.Errorf("%+v", page)
	}
	if len(requests) != 1 || len(troubles) > 0 {
		t.Errorf("requests %q, the browser says %q", requests, troubles)
	}
	if dir := os.Getenv("STANDPIPE_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("compare-%s-%d.png", name, width)), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
