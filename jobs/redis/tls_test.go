package redis_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/vmihailenco/taskq/v3"

	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/jobs/embedded"
	"github.com/standpipe/standpipe/jobs/jobstest"
	"github.com/standpipe/standpipe/jobs/redis"
)

// certificate is one for 127.0.0.1 that signs itself.
func certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// trusted is the certificate that this process trusts, through SSL_CERT_FILE as an
// operator's would. The system's roots are read once, so it is made before any test.
var trusted tls.Certificate

func trust(dir string) (err error) {
	if trusted, err = certificate(); err != nil {
		return err
	}
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: trusted.Certificate[0]}), 0o600); err != nil {
		return err
	}
	return os.Setenv("SSL_CERT_FILE", file)
}

func secured(t *testing.T, c tls.Certificate) *miniredis.Miniredis {
	t.Helper()
	server := miniredis.NewMiniRedis()
	if err := server.StartTLS(&tls.Config{Certificates: []tls.Certificate{c}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

func TestAJobIsDoneOverTLS(t *testing.T) {
	client, err := redis.Dial(t.Context(), "rediss://"+secured(t, trusted).Addr()+"/0")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	store, err := embedded.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	j, all := jobstest.Plan("j", 3)
	if err := store.Create(t.Context(), j, all); err != nil {
		t.Fatal(err)
	}
	handler := func(context.Context, jobs.Task) (json.RawMessage, error) { return json.RawMessage("1"), nil }
	r, err := jobs.NewRunner(store, func(o *taskq.QueueOptions) jobs.Queue { return client.NewQueue(o) },
		map[string]jobs.Handler{"test": handler}, jobs.Options{Beat: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		now, err := store.Slices(ctx, "j")
		if err != nil {
			t.Fatal(err)
		}
		if jobs.Summarize(now).Done == len(all) {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			return
		}
	}
}

func TestACertificateThatNobodyTrustsIsRefused(t *testing.T) {
	stranger, err := certificate()
	if err != nil {
		t.Fatal(err)
	}
	addr := secured(t, stranger).Addr()
	_, err = redis.Dial(t.Context(), "rediss://:secret@"+addr+"/0")
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"connect to rediss://" + addr, "certificate", "SSL_CERT_FILE"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not said: %q in %v", want, err)
		}
	}
}
