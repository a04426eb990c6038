package harness

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// Idle connections of the SDK's clients close by themselves after seconds.
func TestMain(m *testing.M) {
	if mode := os.Getenv("HARNESS_CHILD"); mode != "" {
		child(mode)
		return
	}
	goleak.VerifyTestMain(
		m,
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"),
	)
}

// child is this test binary acting as the process under test.
func child(mode string) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	switch mode {
	case "parent":
		grandchild := exec.Command(os.Args[0])
		grandchild.Env = append(os.Environ(), "HARNESS_CHILD=stubborn")
		grandchild.Stdout = os.Stdout
		if err := grandchild.Start(); err != nil {
			panic(err)
		}
		fmt.Fprintf(os.Stdout, "grandchild %d\n", grandchild.Process.Pid)
		<-stop
	case "polite":
		fmt.Fprintln(os.Stdout, "ready")
		<-stop
		os.Exit(3)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Fprintln(os.Stdout, "ready")
		select {}
	case "writer":
		for i := 0; ; i++ {
			put, err := http.NewRequest(http.MethodPut, fmt.Sprintf("%s/bucket/%d-%d", os.Getenv("HARNESS_S3"), os.Getpid(), i), nil)
			if err != nil {
				panic(err)
			}
			res, err := http.DefaultClient.Do(put)
			if err != nil {
				panic(err)
			}
			res.Body.Close()
		}
	case "dying":
		fmt.Fprintln(os.Stderr, "cannot go on")
		os.Exit(7)
	}
}

func startChild(t *testing.T, mode string) *Process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HARNESS_CHILD="+mode)
	return Start(t, mode, cmd)
}
