package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/test/e2e/need"
)

const unitFile = "systemd/standpipe.service"

// A unit is the values of each key, by "Section.Key", in order.
type unit map[string][]string

func parseUnit(t *testing.T, name string) unit {
	t.Helper()
	u, section := unit{}, ""
	for line := range strings.Lines(readText(t, name)) {
		line = strings.TrimSpace(line)
		switch key, value, isPair := strings.Cut(line, "="); {
		case line == "" || line[0] == '#' || line[0] == ';':
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
		case !isPair || section == "":
			t.Fatalf("%s: not a unit line: %s", name, line)
		default:
			u[section+"."+key] = append(u[section+"."+key], value)
		}
	}
	return u
}

func (u unit) last(key string) string {
	if values := u[key]; len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

func TestUnitStopsByDraining(t *testing.T) {
	u := parseUnit(t, unitFile)
	if got := u.last("Service.KillSignal"); got != "SIGTERM" {
		t.Errorf("KillSignal=%s", got)
	}
	stop, err := time.ParseDuration(u.last("Service.TimeoutStopSec") + "s")
	if drain := sample(t).Standpipe.DrainTimeout.Std(); err != nil || stop < drain+10*time.Second {
		t.Errorf("TimeoutStopSec=%s, DrainTimeout %s (%v)", stop, drain, err)
	}
	if got := u.last("Service.RestartPreventExitStatus"); got != "2" {
		t.Errorf("RestartPreventExitStatus=%s: a wrong configuration is restarted for ever", got)
	}
	// It looks at the main process alone: what fails before that is started again.
	if got := u["Service.ExecStartPre"]; len(got) > 0 {
		t.Errorf("ExecStartPre=%q: a wrong configuration is restarted for ever", got)
	}
}

func TestUnitKeepsItsStateWhereTheConfigurationLooks(t *testing.T) {
	u := parseUnit(t, unitFile)
	if dir := u.last("Service.WorkingDirectory"); dir != "/var/lib/"+u.last("Service.StateDirectory") {
		t.Errorf("WorkingDirectory=%s, StateDirectory=%s", dir, u.last("Service.StateDirectory"))
	}
	if got := u.last("Service.ExecStart"); !strings.HasSuffix(got, " --config /etc/standpipe/standpipe.yaml") {
		t.Errorf("ExecStart=%s", got)
	}
}

func TestUnitIsHardened(t *testing.T) {
	u := parseUnit(t, unitFile)
	for key, want := range map[string]string{
		"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes",
		"PrivateTmp": "yes", "PrivateDevices": "yes", "CapabilityBoundingSet": "", "MemoryDenyWriteExecute": "yes",
		"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "UMask": "0077", "StateDirectoryMode": "0700",
		"RestrictNamespaces": "yes", "SystemCallArchitectures": "native",
	} {
		if values, given := u["Service."+key]; !given || !slices.Equal(values, []string{want}) {
			t.Errorf("%s=%q, want %q", key, values, want)
		}
	}
}

func TestUnitsMemoryLimitsNest(t *testing.T) {
	u := parseUnit(t, unitFile)
	_, limitText, _ := strings.Cut(u.last("Service.Environment"), "GOMEMLIMIT=")
	var limit, most config.Size
	if err := limit.UnmarshalText([]byte(limitText)); err != nil {
		t.Fatal(err)
	}
	if err := most.UnmarshalText([]byte(u.last("Service.MemoryMax") + "iB")); err != nil {
		t.Fatal(err)
	}
	if budget := sample(t).Standpipe.MemoryLimit; 2*budget > limit || limit >= most {
		t.Errorf("MemoryLimit %s, GOMEMLIMIT %s, MemoryMax %s", budget, limit, most)
	}
}

// systemd's own judgement, where systemd is installed: the unit has no unknown
// key, and its exposure is "OK" (below 2.0 of 10).
func TestSystemdAcceptsTheUnit(t *testing.T) {
	analyze := need.Program(t, "systemd-analyze")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// verify insists that the program exists; this test is one that does.
	text := strings.ReplaceAll(readText(t, unitFile), "/usr/local/bin/standpipe", self)
	name := filepath.Join(t.TempDir(), "standpipe.service")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--recursive-errors=no", "--man=no", name).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	if out, err := exec.Command(analyze, "security", "--offline=yes", "--threshold=20", "--no-pager", name).CombinedOutput(); err != nil {
		t.Errorf("security: %v\n%s", err, out)
	}
}
