package deploy

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A dockerfile is the stages of a Dockerfile, in order.
type dockerfile []stage

// A stage is what stands between two FROMs.
type stage struct {
	base, name   string
	instructions []instruction
}

type instruction struct{ name, text string }

func (d dockerfile) last() stage { return d[len(d)-1] }

// parseDockerfile reads instructions, comments and continued lines; here-documents
// and parser directives are not used here.
func parseDockerfile(t *testing.T, name string) dockerfile {
	t.Helper()
	var d dockerfile
	var continued strings.Builder
	for line := range strings.Lines(readText(t, name)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if more, ok := strings.CutSuffix(line, `\`); ok {
			continued.WriteString(more)
			continue
		}
		word, text, _ := strings.Cut(continued.String()+line, " ")
		continued.Reset()
		word, text = strings.ToUpper(word), strings.Join(strings.Fields(text), " ")
		if word == "FROM" {
			d = append(d, fromStage(text))
			continue
		}
		if len(d) == 0 && word != "ARG" {
			t.Fatalf("%s: %s before FROM", name, word)
		}
		if len(d) > 0 {
			d[len(d)-1].instructions = append(d[len(d)-1].instructions, instruction{word, text})
		}
	}
	if len(d) == 0 {
		t.Fatalf("%s has no FROM", name)
	}
	return d
}

func fromStage(text string) stage {
	words := strings.Fields(text)
	for len(words) > 0 && strings.HasPrefix(words[0], "--") {
		words = words[1:]
	}
	if len(words) == 3 && strings.EqualFold(words[1], "AS") {
		return stage{base: words[0], name: words[2]}
	}
	return stage{base: words[0]}
}

// only is the text of the one instruction of a name.
func (s stage) only(t *testing.T, name string) string {
	t.Helper()
	var texts []string
	for _, in := range s.instructions {
		if in.name == name {
			texts = append(texts, in.text)
		}
	}
	if len(texts) != 1 {
		t.Fatalf("%d %s in the stage from %s, want 1", len(texts), name, s.base)
	}
	return texts[0]
}

// list is the text of an instruction in its JSON form, the only one that works
// without a shell.
func (s stage) list(t *testing.T, name string) []string {
	t.Helper()
	return words(t, s.only(t, name))
}

func words(t *testing.T, text string) []string {
	t.Helper()
	var list []string
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%s needs a shell: %v", text, err)
	}
	return list
}

var knownInstructions = []string{
	"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "RUN", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}

// Every base is pinned and nothing is fetched by URL: what is built today can be
// built again.
func TestImagesAreBuiltFromPinnedParts(t *testing.T) {
	pinned := regexp.MustCompile(`^(scratch|\$\{IMAGE\}|[a-z0-9./-]+:\d+\.\d+\.\d+[a-z0-9.-]*(@sha256:[0-9a-f]{64})?)$`)
	for _, name := range []string{"../Dockerfile", "ecs/Dockerfile"} {
		for _, s := range parseDockerfile(t, name) {
			if !pinned.MatchString(s.base) {
				t.Errorf("%s: the base %s is not pinned", name, s.base)
			}
			for _, in := range s.instructions {
				if !slices.Contains(knownInstructions, in.name) {
					t.Errorf("%s: %s is not used here", name, in.name)
				}
				if strings.Contains(in.text, "http://") || strings.Contains(in.text, "https://") {
					t.Errorf("%s: %s fetches by URL", name, in.name)
				}
			}
		}
	}
}

// The toolchain of the image is the one go.mod asks for.
func TestImageBuildsWithTheModulesGoVersion(t *testing.T) {
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readText(t, "../go.mod"))
	base := parseDockerfile(t, "../Dockerfile")[0].base
	if len(version) != 2 || !strings.HasPrefix(base, "golang:"+version[1]+".") {
		t.Errorf("go.mod asks for %v, the image builds with %s", version, base)
	}
}

func TestBinaryIsStaticAndWithoutLaptopMode(t *testing.T) {
	build := parseDockerfile(t, "../Dockerfile")[0]
	var run string
	for _, in := range build.instructions {
		if in.name == "RUN" && strings.Contains(in.text, "go build") {
			run = in.text
		}
	}
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "-tags nolocal", "GOARCH=$TARGETARCH", "./cmd/standpipe"} {
		if !strings.Contains(run, want) {
			t.Errorf("%q is not in: %s", want, run)
		}
	}
}

// The final image holds a binary, certificates and an empty folder: nothing can
// be run in it but standpipe, by nobody but 65532.
func TestFinalImageIsNothingButStandpipe(t *testing.T) {
	d := parseDockerfile(t, "../Dockerfile")
	if len(d) != 2 {
		t.Fatalf("%d stages, want 2", len(d))
	}
	final := d.last()
	if final.base != "scratch" {
		t.Errorf("the image is built from %s", final.base)
	}
	var certificates, owned bool
	for _, in := range final.instructions {
		switch in.name {
		case "RUN":
			t.Error("scratch has nothing to RUN")
		case "COPY":
			if !strings.HasPrefix(in.text, "--from="+d[0].name+" ") {
				t.Errorf("COPY %s is not from the build", in.text)
			}
			certificates = certificates || strings.HasSuffix(in.text, "/etc/ssl/certs/ca-certificates.crt")
			owned = owned || strings.Contains(in.text, "--chown=65532:65532 ") && strings.HasSuffix(in.text, " "+final.only(t, "WORKDIR"))
		}
	}
	if !certificates {
		t.Error("no certificates: every call to AWS would fail")
	}
	if !owned {
		t.Error("the state folder does not belong to the user")
	}
	if got := final.list(t, "ENTRYPOINT"); !slices.Equal(got, []string{"/standpipe"}) {
		t.Errorf("ENTRYPOINT %q", got)
	}
	if got := final.only(t, "STOPSIGNAL"); got != "SIGTERM" {
		t.Errorf("STOPSIGNAL %s", got)
	}
}

// Ports are those of the configuration's default.
func TestExposedPortIsTheStatusPage(t *testing.T) {
	port := parseDockerfile(t, "../Dockerfile").last().only(t, "EXPOSE")
	if address := sample(t).Standpipe.StatusAddress; !strings.HasSuffix(address, ":"+port) {
		t.Errorf("EXPOSE %s, StatusAddress %s", port, address)
	}
}

// The build context leaves out history, secrets and results, and keeps the source.
func TestBuildContextLeavesOutHistoryAndSecrets(t *testing.T) {
	ignored := strings.Fields(readText(t, "../.dockerignore"))
	for _, want := range []string{".git", ".env", "**/*.pem", ".standpipe", "deploy"} {
		if !slices.Contains(ignored, want) {
			t.Errorf("%s is not ignored", want)
		}
	}
	for _, keep := range []string{"cmd", "config", "go.mod", "go.sum", "*", "**", "internal"} {
		if slices.Contains(ignored, keep) {
			t.Errorf("%s is ignored, the build needs it", keep)
		}
	}
}
