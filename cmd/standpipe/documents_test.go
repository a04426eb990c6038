package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fenced = regexp.MustCompile("(?ms)^ *```[^\n]*\n(.*?)^ *```")
	quoted = regexp.MustCompile("`(standpipe [^`\n]+)`")
	// inLine is a command within a line of shell: up to what ends a command there.
	inLine  = regexp.MustCompile(`(?:^|[\s(|&;])standpipe ([^|>;&#)]*)`)
	flagged = regexp.MustCompile(`(?:^|\s)(--?[a-z][a-z0-9-]*)`)
	helped  = regexp.MustCompile(`(?m)^ +(?:(-[a-zA-Z]), |    )?--(\[no-\])?([a-z0-9-]+)`)
)

// documented are the command lines of the documents, without the program.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	root, all := filepath.Join("..", ".."), map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".md") || strings.HasSuffix(path, "CHANGELOG.md") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := strings.ReplaceAll(string(b), "\\\n", " ")
		var shell []string
		for _, m := range fenced.FindAllStringSubmatch(text, -1) {
			shell = append(shell, strings.Split(m[1], "\n")...)
		}
		for _, m := range quoted.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			shell = append(shell, m[1])
		}
		for _, line := range shell {
			for _, m := range inLine.FindAllStringSubmatch(line, -1) {
				all[path] = append(all[path], strings.TrimSpace(m[1]))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// withoutSub is which sub-command a command is when none is named.
var withoutSub = map[string]string{"compare": "archives", "gateway": "serve"}

// flagsOf are the flags that the help of the command in front of words lists.
func flagsOf(words []string) (flags map[string]bool, ok bool) {
	r := call(words[0], "--help")
	if _, subs, parent := strings.Cut(r.out, "\nCommands:\n"); parent {
		sub := withoutSub[words[0]]
		if len(words) > 1 && regexp.MustCompile(`(?m)^  `+words[0]+` `+regexp.QuoteMeta(words[1])+` `).MatchString(subs) {
			sub = words[1]
		}
		if sub != "" {
			r = call(words[0], sub, "--help")
		}
	}
	flags = map[string]bool{}
	for _, m := range helped.FindAllStringSubmatch(r.out, -1) {
		flags[m[1]], flags["--"+m[3]] = true, true
		if m[2] != "" {
			flags["--no-"+m[3]] = true
		}
	}
	return flags, r.code == exitOK
}

// A command line that a reader copies is one of this program's.
func TestCommandLinesOfTheDocumentsExist(t *testing.T) {
	n := 0
	for file, lines := range documented(t) {
		for _, line := range lines {
			words := strings.Fields(line)
			if len(words) == 0 || !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(words[0]) || line == "is ready" {
				continue // a placeholder, or what a command prints
			}
			n++
			flags, ok := flagsOf(words)
			if !ok {
				t.Errorf("%s: standpipe %s: there is no such command", file, line)
				continue
			}
			for _, m := range flagged.FindAllStringSubmatch(line, -1) {
				if !flags[m[1]] {
					t.Errorf("%s: standpipe %s: there is no flag %s", file, line, m[1])
				}
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d command lines were found", n)
	}
}
