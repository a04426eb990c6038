package sdk

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// The SDK for JavaScript speaks JSON over HTTP/2 with prior knowledge.
func TestTheSDKForJavaScriptCannotTellItFromKinesis(t *testing.T) {
	t.Parallel()
	dir, s := nodeFolder(t), serve(t)
	session(t, dir, s.env, "node", "session.mjs", "session-node")
}

// boto3, which the AWS CLI is made of, speaks JSON over HTTP/1.1; here over TLS,
// and it checks the certificate and signs for a server that checks, too.
func TestBoto3CannotTellItFromKinesis(t *testing.T) {
	t.Parallel()
	dir, cert := pythonFolder(t), filepath.Join(t.TempDir(), "cert.pem")
	s := serve(t, "--tls", "--cert", cert, "--signed")
	env := append(s.env, "PYTHONPATH="+filepath.Join(dir, "lib"))
	if s.admin != "" {
		env = append(env, "AWS_CA_BUNDLE="+cert)
	}
	session(t, dir, env, "python3", "session.py", "session-boto3")
}

// The SDK for Java speaks CBOR, over HTTP/1.1 and for fan-out over HTTP/2.
func TestTheSDKForJavaCannotTellItFromKinesis(t *testing.T) {
	t.Parallel()
	dir, s := javaFolder(t), serve(t, "--signed")
	session(t, dir, s.env, "java", append(jvm(), "SdkSession", "session-java")...)
}

// A KCL application reads through a split and a merge to SHARD_END, polling and
// with fan-out, with its leases in a DynamoDB that is not ours either. It waits
// up to half a minute before it does anything, by its own choice.
func TestAKCLApplicationReadsThroughReshardsToTheEndOfEachShard(t *testing.T) {
	t.Parallel()
	dir, s := javaFolder(t), serve(t)
	table := dynalite(t)
	for _, mode := range []string{"polling", "fanout"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			env := append(s.env[:len(s.env):len(s.env)], "AWS_ENDPOINT_URL_DYNAMODB="+table, "AWS_ENDPOINT_URL_CLOUDWATCH=http://127.0.0.1:1")
			session(t, dir, env, "java", append(jvm(), "KclSession", "kcl-"+mode, mode)...)
		})
	}
}

// jvm is a small one that starts fast.
func jvm() []string {
	return []string{
		"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
		"-cp", "classes" + string(filepath.ListSeparator) + filepath.Join("lib", "*"),
	}
}

// dynalite starts a DynamoDB in memory and returns its address.
func dynalite(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("node", filepath.Join(nodeFolder(t), "dynalite.cjs"))
	p := harness.Start(t, "dynalite", cmd)
	line, err := p.WaitLine(t.Context(), "listening on ")
	if err != nil {
		t.Fatal(err)
	}
	return line[len("listening on "):]
}
